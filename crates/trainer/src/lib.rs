//! Data, optimisers and the training loop.
