//! The fleet as everybody reads it, and the browsers that watch it.

mod attention;
pub mod broadcaster;
mod frame;
pub mod model;
pub mod news;

pub use attention::Attention;

/// The broadcaster's address.
pub type Broadcast = actix::Addr<broadcaster::Broadcaster>;
