//! Messages that come in fragments (spec: protocol): 3.x sends everything above 4 KiB so.

use super::MAX_FRAME_BYTES;

/// Why fragments make no message. The link is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FragmentError {
    /// Together they are larger than [`MAX_FRAME_BYTES`].
    #[error("the fragments of a message may have 1 MiB together")]
    TooBig,
    /// Together they are no text.
    #[error("the fragments of a message must be UTF-8 together")]
    NotText,
    /// A fragment of a message that has not begun, or a second beginning.
    #[error("a fragment came that belongs to no message")]
    OutOfOrder,
}

/// The message of one link that has come in part.
#[derive(Debug, Default)]
pub struct Fragments(Option<Vec<u8>>);

impl Fragments {
    /// The first fragment of a text.
    ///
    /// # Errors
    /// Where another message has not ended, or the fragment is too large.
    pub fn begin(&mut self, bytes: &[u8]) -> Result<(), FragmentError> {
        if self.0.is_some() {
            return Err(FragmentError::OutOfOrder);
        }
        self.0 = Some(Vec::new());
        self.add(bytes)
    }

    /// A fragment in the middle.
    ///
    /// # Errors
    /// Where no message has begun, or the fragments are too large together.
    pub fn add(&mut self, bytes: &[u8]) -> Result<(), FragmentError> {
        let Some(begun) = &mut self.0 else {
            return Err(FragmentError::OutOfOrder);
        };
        if begun.len().saturating_add(bytes.len()) > MAX_FRAME_BYTES {
            self.0 = None;
            return Err(FragmentError::TooBig);
        }
        begun.extend_from_slice(bytes);
        Ok(())
    }

    /// The last fragment; answers the whole text.
    ///
    /// # Errors
    /// As [`Self::add`], and where all of it is no UTF-8.
    pub fn end(&mut self, bytes: &[u8]) -> Result<String, FragmentError> {
        self.add(bytes)?;
        let whole = self.0.take().unwrap_or_default();
        String::from_utf8(whole).map_err(|_| FragmentError::NotText)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_no_message_is_refused() {
        let mut fragments = Fragments::default();
        assert_eq!(fragments.add(b"x"), Err(FragmentError::OutOfOrder));
        assert_eq!(fragments.end(b"x"), Err(FragmentError::OutOfOrder));
        assert_eq!(fragments.begin(b"\xff"), Ok(()));
        assert_eq!(fragments.begin(b"x"), Err(FragmentError::OutOfOrder));
        assert_eq!(fragments.end(b""), Err(FragmentError::NotText));
        // A character may be cut in two.
        assert_eq!(fragments.begin(&"é".as_bytes()[..1]), Ok(()));
        assert_eq!(fragments.end(&"é".as_bytes()[1..]), Ok("é".to_owned()));
    }

    #[test]
    fn together_they_have_at_most_1_mib() {
        let half = vec![b'x'; MAX_FRAME_BYTES / 2];
        let mut fragments = Fragments::default();
        assert_eq!(fragments.begin(&half), Ok(()));
        assert_eq!(fragments.end(&half).map(|text| text.len()), Ok(MAX_FRAME_BYTES));
        assert_eq!(fragments.begin(&half), Ok(()));
        assert_eq!(fragments.add(&half), Ok(()));
        assert_eq!(fragments.end(b"x"), Err(FragmentError::TooBig));
        assert_eq!(fragments.add(b"x"), Err(FragmentError::OutOfOrder));
    }

    proptest! {
        #[test]
        fn a_text_in_pieces_is_the_text(text in "\\PC{0,200}", size in 1..20_usize) {
            let mut fragments = Fragments::default();
            prop_assert_eq!(fragments.begin(b""), Ok(()));
            for piece in text.as_bytes().chunks(size) {
                prop_assert_eq!(fragments.add(piece), Ok(()));
            }
            prop_assert_eq!(fragments.end(b""), Ok(text));
        }
    }
}
