//! WebSockets: one actor per connection. They read and write frames and decide nothing.

pub mod agent;
pub mod browser;
