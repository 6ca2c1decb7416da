//! The key that takes over: while a node has a next key, each mark is kept beside that key as well.
//!
//! A mark says that nothing above it was signed, so one mark holds for both keys, whichever of
//! them signs. Once the provinces have rotated and the configuration names the next key alone, the
//! mark is where it is looked for, and the node votes at once.

use std::path::Path;

use symbolon_consensus::mark::place;

use super::{Owner, SignState, SignStateError, Standing};

impl SignState {
    /// Keeps what is signed from now on in the file at `path` too, which is that of the next key.
    /// Where there is none, one is begun that knows what this one does: a next key is a new one.
    ///
    /// # Errors
    ///
    /// [`SignStateError`], as for the file of the key itself: the node must not start.
    pub fn with_next(mut self, path: &Path, owner: Owner) -> Result<Self, SignStateError> {
        let mut next = match Self::open(path, owner)? {
            Some(next) => next,
            None => Self::create(path, owner, self.standing.clone())?,
        };
        match (&self.standing, &next.standing) {
            (_, Standing::HandedOver(_)) => {
                return Err(SignStateError::HandedOver { path: path.to_owned() });
            }
            (Standing::Known(own), Standing::Known(other)) => {
                match own.as_ref().map(place).cmp(&other.as_ref().map(place)) {
                    std::cmp::Ordering::Less => self.set(next.standing.clone())?,
                    std::cmp::Ordering::Equal => {}
                    std::cmp::Ordering::Greater => next.set(self.standing.clone())?,
                }
            }
            _ => {}
        }
        self.next = Some(Box::new(next));
        Ok(self)
    }
}
