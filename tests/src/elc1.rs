//! What the tests of ELC1 share, and how its dictionary was made and its sizes are measured.
//!
//! Not the format itself: that is `symbolon_credential::elc1`. The program `elc1` prints what is
//! made here.

pub mod dictionary;

pub mod samples;

pub mod sizes;
