"""The workstation: data set, patches, backbones, fitting, evaluation, review."""
