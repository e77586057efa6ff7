"""Effects that are drawn by rule over what the transformer makes, see :data:`pipeline.pocket.names.DRAWN`."""
