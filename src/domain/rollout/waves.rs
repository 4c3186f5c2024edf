//! How many hosts begin together: waves, one after the other (spec: guard, "Rollouts in waves").

use serde::{Deserialize, Serialize};
use std::fmt;

/// How large a wave is, as users write it: `3`, `10%`, `rest`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wave {
    /// So many hosts.
    Hosts(u32),
    /// So many of a hundred of those that take part, and at least one.
    Percent(u32),
    /// All that are left.
    Rest,
}

impl Wave {
    /// Reads what users write; `None` if it is no wave, or one of nobody.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if text == "rest" {
            return Some(Self::Rest);
        }
        let number = |text: &str| text.trim().parse::<u32>().ok().filter(|number| *number > 0);
        match text.strip_suffix('%') {
            Some(percent) => number(percent).filter(|n| *n <= 100).map(Self::Percent),
            None => number(text).map(Self::Hosts),
        }
    }
}

impl fmt::Display for Wave {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hosts(number) => write!(f, "{number}"),
            Self::Percent(percent) => write!(f, "{percent}%"),
            Self::Rest => f.write_str("rest"),
        }
    }
}

/// How many hosts begin in each wave, of so many that take part. Nobody is forgotten: the last wave
/// takes all that are left. No waves: all of them in one.
pub fn sizes(waves: &[Wave], hosts: usize) -> Vec<usize> {
    let (mut sizes, mut left) = (Vec::new(), hosts);
    for wave in waves {
        let wanted = match wave {
            Wave::Hosts(number) => usize::try_from(*number).unwrap_or(usize::MAX),
            Wave::Percent(percent) => {
                let percent = usize::try_from(*percent).unwrap_or(100);
                hosts.saturating_mul(percent).div_ceil(100)
            }
            Wave::Rest => left,
        };
        let size = wanted.min(left);
        if size > 0 {
            sizes.push(size);
            left -= size;
        }
    }
    if left > 0 {
        sizes.push(left);
    }
    sizes
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_wave_is_read_as_it_is_written_and_what_takes_nobody_is_none() {
        for text in ["1", "3", "10%", "100%", "rest"] {
            assert_eq!(Wave::parse(text).map(|wave| wave.to_string()).as_deref(), Some(text));
        }
        for bad in ["", "0", "0%", "101%", "-1", "1.5", "%", "rest%", "all", "9999999999"] {
            assert_eq!(Wave::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn waves_take_so_many_of_those_that_take_part() {
        use Wave::*;
        for (waves, hosts, expected) in [
            (vec![], 5, vec![5]),
            (vec![Hosts(1), Percent(10), Rest], 100, vec![1, 10, 89]),
            (vec![Hosts(1), Percent(10), Rest], 5, vec![1, 1, 3]),
            (vec![Hosts(1), Rest], 1, vec![1]),
            (vec![Hosts(2)], 5, vec![2, 3]),
            (vec![Hosts(9), Hosts(9)], 4, vec![4]),
            (vec![Percent(34), Percent(34), Percent(34)], 3, vec![2, 1]),
        ] {
            assert_eq!(sizes(&waves, hosts), expected, "{waves:?} of {hosts}");
        }
    }

    proptest! {
        #[test]
        fn everybody_is_in_one_wave_and_no_wave_is_empty(
            waves in prop::collection::vec(
                prop_oneof![
                    (1..200_u32).prop_map(Wave::Hosts),
                    (1..101_u32).prop_map(Wave::Percent),
                    Just(Wave::Rest),
                ],
                0..6,
            ),
            hosts in 0..3000_usize,
        ) {
            let sizes = sizes(&waves, hosts);
            prop_assert_eq!(sizes.iter().sum::<usize>(), hosts);
            prop_assert!(sizes.iter().all(|size| *size > 0));
        }
    }
}
