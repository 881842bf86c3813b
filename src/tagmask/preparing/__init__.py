"""Published data sets as they are downloaded, made into folders that the readers read.

Archives enter, or what came out of them: PASCAL VOC 2012 with SBD, MS-COCO. A whole folder that holds what was
published leaves, or one message that names everything that is wrong.
"""
