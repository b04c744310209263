//! One configurable decoder, built from the layers of `nn`.
