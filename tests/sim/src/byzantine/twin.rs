//! Two nodes that share a seat and its key and know nothing of each other.
//!
//! Each keeps the rules by itself, so together they propose two blocks, vote both ways and are
//! convincing to whichever side of a split hears which. The world makes two nodes of such a seat;
//! nothing else is to be done.

use super::Actor;

pub(super) struct Twin;

impl Actor for Twin {}
