"""Networks with named taps: the CIFAR families, small ones for tests, and torchvision's classification models.

A model plugin (entry-point group `kdzoo.models`) is a callable with keyword-only, annotated parameters that returns an
`nn.Module` mapping images (B, C, H, W) to logits (B, classes). `classes`, `channels` and `size` are filled in by the task;
every other parameter is a setting of the recipe. What a model names about itself is described in `kdzoo.models.tap_names`.
"""
