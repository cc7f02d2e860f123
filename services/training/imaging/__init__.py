"""Training of the imaging model: samples, fit, calibration, thresholds, figures."""
