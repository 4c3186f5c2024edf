//! The agent: connects out to the dashboard and runs the operations.
