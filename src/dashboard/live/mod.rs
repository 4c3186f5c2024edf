//! The fleet as everybody reads it, and the browsers that watch it.

mod attention;
mod broadcast;
pub mod broadcaster;
mod frame;
mod missed;
pub mod model;
pub mod news;

pub use attention::Attention;
pub use broadcast::Broadcast;
