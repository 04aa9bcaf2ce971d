"""Training, calibration and evaluation of model bundles; serving a bundle needs none of this."""
