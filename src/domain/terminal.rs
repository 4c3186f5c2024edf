//! What programs print for a terminal, as text.

/// A line without terminal control sequences, as it stands after its carriage returns.
pub fn plain(text: &str) -> String {
    let shown = text.trim_end_matches('\r').rsplit('\r').next().unwrap_or_default();
    let mut plain = String::with_capacity(shown.len());
    let mut chars = shown.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '\u{1b}' {
            if !c.is_control() || c == '\t' {
                plain.push(c);
            }
            continue;
        }
        match chars.next() {
            // CSI: parameters, then one final character.
            Some('[') => while chars.next().is_some_and(|c| !('@'..='~').contains(&c)) {},
            // OSC: up to BEL or ESC \.
            Some(']') => {
                while let Some(c) = chars.next() {
                    if c == '\u{7}' || (c == '\u{1b}' && chars.next_if_eq(&'\\').is_some()) {
                        break;
                    }
                }
            }
            Some(_) | None => {}
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn control_sequences_are_taken_out_and_text_stays() {
        for (raw, shown) in [
            ("plain", "plain"),
            ("\u{1b}[1;31merror:\u{1b}[0m no", "error: no"),
            ("10%\r50%\r100%", "100%"),
            ("done\r", "done"),
            ("\u{1b}]8;;http://x\u{7}link\u{1b}]8;;\u{1b}\\", "link"),
            ("a\u{0}b\u{8}c\td", "abc\td"),
            ("\u{1b}[", ""),
            ("\u{1b}", ""),
        ] {
            assert_eq!(plain(raw), shown, "{raw:?}");
        }
    }
}
