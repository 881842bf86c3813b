"""Tags that look wrong, by the word of classifiers that have not learned from the image they judge."""
