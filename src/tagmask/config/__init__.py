"""Every setting as frozen, typed data with a sentence per field.

Recipes (YAML files and changes to them) enter, one checked ``Recipe`` leaves; each family of settings has a file of its
own. Nothing here imports torch, so that ``--help`` answers at once.
"""

from tagmask.config.affinity import (
    AFFINITY_GROUP,
    AffinityConfig,
    AffinityNetConfig,
    AnyAffinity,
    IrnConfig,
    WalkConfig,
)
from tagmask.config.backbones import AnyBackbone, FreezingConfig, Resnet38dBackbone, TimmBackbone
from tagmask.config.base import Config, MixedPrecision, Role, settings_of
from tagmask.config.crf import CRF_PRESETS, Crf, CrfConfig
from tagmask.config.data import (
    AnyData,
    CocoData,
    DataConfig,
    FolderData,
    MaskFilesConfig,
    TagNamesConfig,
    TarData,
    ToyData,
    VocData,
)
from tagmask.config.masks import (
    AnyLabels,
    BackgroundConfig,
    InstancesConfig,
    LearntLabels,
    MapsConfig,
    MasksConfig,
    PowerLabels,
    ThresholdLabels,
)
from tagmask.config.methods import (
    METHOD_GROUP,
    WRAPPERS,
    AnyBase,
    AnyMethod,
    CamConfig,
    EpsConfig,
    EquivarianceConfig,
    MethodConfig,
    PpcConfig,
    PyramidConfig,
    SeamConfig,
    SipeConfig,
    WrapperConfig,
)
from tagmask.config.recipe import EvaluationConfig, Recipe, ReportConfig
from tagmask.config.segmenter import HeadConfig, RevisionConfig, SegmenterConfig
from tagmask.config.training import AugmentConfig, TrainingConfig

__all__ = [
    "AFFINITY_GROUP",
    "CRF_PRESETS",
    "METHOD_GROUP",
    "WRAPPERS",
    "AffinityConfig",
    "AffinityNetConfig",
    "AnyAffinity",
    "AnyBackbone",
    "AnyBase",
    "AnyData",
    "AnyLabels",
    "AnyMethod",
    "AugmentConfig",
    "BackgroundConfig",
    "CamConfig",
    "CocoData",
    "Config",
    "Crf",
    "CrfConfig",
    "DataConfig",
    "EpsConfig",
    "EquivarianceConfig",
    "EvaluationConfig",
    "FolderData",
    "FreezingConfig",
    "HeadConfig",
    "InstancesConfig",
    "IrnConfig",
    "LearntLabels",
    "MapsConfig",
    "MaskFilesConfig",
    "MasksConfig",
    "MethodConfig",
    "MixedPrecision",
    "PowerLabels",
    "PpcConfig",
    "PyramidConfig",
    "Recipe",
    "ReportConfig",
    "Resnet38dBackbone",
    "RevisionConfig",
    "Role",
    "SeamConfig",
    "SegmenterConfig",
    "SipeConfig",
    "TagNamesConfig",
    "TarData",
    "ThresholdLabels",
    "TimmBackbone",
    "ToyData",
    "TrainingConfig",
    "VocData",
    "WalkConfig",
    "WrapperConfig",
    "settings_of",
]
