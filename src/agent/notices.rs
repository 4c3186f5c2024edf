//! What the agent did by itself, for the dashboard's audit log.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

/// So many different ones are told by one process; the rest is only in its log.
const AT_MOST: usize = 100;
/// So many fit into one message.
const IN_A_MESSAGE: usize = 8;

/// Notices, each of which is told once.
#[derive(Clone, Default)]
pub(crate) struct Notices(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    known: BTreeSet<String>,
    untold: Vec<String>,
}

impl Notices {
    /// Something is worth a notice. The same one is told only once, however often it is seen.
    pub(crate) fn add(&self, text: String) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.known.len() < AT_MOST && state.known.insert(text.clone()) {
            log::warn!("{text}");
            state.untold.push(text);
        }
    }

    /// What an outcome says beside itself.
    pub(crate) fn of(&self, outcome_notice: Option<&String>) {
        if let Some(text) = outcome_notice {
            self.add(text.clone());
        }
    }

    /// What was not told yet, for one message.
    pub(crate) fn take(&self) -> Vec<String> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = state.untold.len().min(IN_A_MESSAGE);
        state.untold.drain(..count).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_is_told_once_and_a_flood_of_them_ends() {
        let notices = Notices::default();
        for n in 0..1000 {
            notices.add(format!("notice {}", n / 2));
        }
        assert_eq!(notices.take().len(), IN_A_MESSAGE);
        let mut told = IN_A_MESSAGE;
        while let count @ 1.. = notices.take().len() {
            told += count;
        }
        assert_eq!(told, AT_MOST);
        notices.add("notice 0".to_owned());
        assert!(notices.take().is_empty());
    }
}
