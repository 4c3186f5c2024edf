//! `--demo`: a whole fleet on one machine, with nothing to set up.
