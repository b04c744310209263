//! Model directories on disk.
