"""Networks of the Wan family, in two sizes: the published ones and pocket's."""
