//! Files of variables, `NAME=value`, as systemd's `EnvironmentFile=` reads them.

/// Reads variables, one a line. Empty lines and comments (`#`, `;`) say nothing, `export ` before a
/// name is passed over, and a value may stand in single or double quotes. The error names the line.
pub fn parse(text: &str) -> Result<Vec<(String, String)>, String> {
    let mut variables = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        let variable = variable(line)
            .ok_or_else(|| format!("line {}: expected NAME=value", number.saturating_add(1)))?;
        variables.push(variable);
    }
    Ok(variables)
}

/// The value of one variable in a text that may also be something else; the last one counts.
pub fn value_of(text: &str, name: &str) -> Option<String> {
    let mut variables = text.lines().filter_map(|line| variable(line.trim()));
    variables.rfind(|(known, _)| known == name).map(|(_, value)| value)
}

fn variable(line: &str) -> Option<(String, String)> {
    let line = line.strip_prefix("export ").map_or(line, str::trim_start);
    let (name, value) = line.split_once('=')?;
    let name = name.trim_end();
    let mut letters = name.chars();
    let begins = letters.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    if !begins || !letters.all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return None;
    }
    Some((name.to_owned(), unquoted(value.trim())?))
}

/// A value without its quotes; `None` where a quote is opened and not closed. In double quotes a
/// backslash makes the letter after it plain.
fn unquoted(value: &str) -> Option<String> {
    if let Some(rest) = value.strip_prefix('\'') {
        return rest.strip_suffix('\'').map(str::to_owned);
    }
    let Some(rest) = value.strip_prefix('"') else {
        return Some(value.to_owned());
    };
    let (mut plain, mut letters) = (String::new(), rest.chars());
    while let Some(letter) = letters.next() {
        match letter {
            '"' => return letters.next().is_none().then_some(plain),
            '\\' => plain.push(letters.next()?),
            other => plain.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn variables_are_read_as_systemd_reads_them() {
        for (line, value) in [
            ("A=b", Some("b")),
            ("A = b ", Some("b")),
            ("export A=b", Some("b")),
            ("A=\"b c\"", Some("b c")),
            ("A=\"b\\\"c\"", Some("b\"c")),
            ("A='b\\c'", Some("b\\c")),
            ("A=b=c", Some("b=c")),
            ("A=", Some("")),
            ("A=\"b", None),
            ("A=\"b\" c", None),
            ("A='b", None),
            ("1A=b", None),
            ("A B=c", None),
            ("secret", None),
        ] {
            assert_eq!(variable(line).map(|(_, value)| value).as_deref(), value, "{line}");
        }
    }

    #[test]
    fn a_line_that_is_none_is_named() {
        let text = "# comment\n; another\n\nA=b\nfree text\n";
        assert_eq!(parse(text), Err("line 5: expected NAME=value".to_owned()));
        assert_eq!(parse("A=b\nA=c\n").unwrap().len(), 2);
        assert_eq!(value_of("A=b\nfree text\nA=c", "A").as_deref(), Some("c"));
        assert_eq!(value_of("A=b", "B"), None);
    }

    proptest! {
        #[test]
        fn no_text_is_too_strange(text in ".*") {
            let _ = (parse(&text), value_of(&text, "A"));
        }
    }
}
