//! The fleet as everybody reads it, and the browsers that watch it.

mod attention;
mod broadcast;
pub(crate) mod broadcaster;
mod frame;
mod missed;
pub(crate) mod model;
pub(crate) mod news;

pub(crate) use attention::Attention;
pub(crate) use broadcast::Broadcast;
