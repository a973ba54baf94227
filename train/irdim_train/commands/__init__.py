"""One module a command; irdim_train.cli registers them."""
