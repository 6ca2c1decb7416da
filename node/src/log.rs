//! The log: one event is one line, whatever stands in it.
//!
//! Errors of the libraries may have several lines, and repeat what another machine has said. What
//! could give a terminal an order, or pass for a line of the log, is written out. What is logged
//! and how it looks is `main.rs`'s and `tracing-subscriber`'s.

use std::io::{self, Write};

/// Begins the orders for a terminal by which an event's own colours are set.
const ESCAPE: char = '\u{1b}';

/// Writes every event, which the formatter gives in one piece, as one line.
#[derive(Debug)]
pub struct OneLine<W> {
    to: W,
    /// Whether the formatter sets colours. Then it writes out the escapes of all else by itself.
    has_colours: bool,
}

impl<W> OneLine<W> {
    /// Around what takes the lines.
    pub const fn new(to: W, has_colours: bool) -> Self {
        Self { to, has_colours }
    }
}

impl<W: Write> Write for OneLine<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let (line, end) = text.strip_suffix('\n').map_or((&*text, ""), |line| (line, "\n"));
        let mut written = String::with_capacity(event.len());
        for c in line.chars() {
            if c.is_control() && !(c == ESCAPE && self.has_colours) {
                written.extend(c.escape_default());
            } else {
                written.push(c);
            }
        }
        written.push_str(end);
        self.to.write_all(written.as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(has_colours: bool, event: &[u8], expected: &str) {
        let mut lines = Vec::new();
        OneLine::new(&mut lines, has_colours).write_all(event).unwrap();
        assert_eq!(String::from_utf8(lines).unwrap(), expected, "{event:?}");
    }

    #[test]
    fn an_event_is_one_line_and_gives_no_orders() {
        check(false, "证照 error=no way: é\n".as_bytes(), "证照 error=no way: é\n");
        check(false, b"two\n - lines\r\n", "two\\n - lines\\r\n");
        check(false, b"\x1b[31mred\x07\x7f\n", "\\u{1b}[31mred\\u{7}\\u{7f}\n");
        check(false, "\u{9b}31mred".as_bytes(), "\\u{9b}31mred");
        check(false, b"torn \xff\n", "torn \u{fffd}\n");
        check(true, b"\x1b[2mfaint\x1b[0m\n - a\x08\n", "\x1b[2mfaint\x1b[0m\\n - a\\u{8}\n");
    }
}
