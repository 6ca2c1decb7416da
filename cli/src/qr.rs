//! QR codes as this program draws them: in the terminal, as PNG, as SVG.
//!
//! Only the drawing: what stands in a code is the caller's, and finding one in a picture is
//! `commands/ledger/verify/picture.rs`. Every form has the quiet zone that the standard demands
//! and whole pixels for each module, so that nothing is blurred on its way to a camera.

use std::fmt::Write as _;

use fast_qr::{ECL, QRBuilder, QRCode};
use image::{ExtendedColorType, ImageEncoder as _, codecs::png::PngEncoder};

use crate::output::Failure;

/// Light modules around the code (ISO/IEC 18004).
const QUIET_ZONE: usize = 4;
/// Pixels of a module in a PNG: a code of version 24 then has 968, which fills a telephone.
const PIXELS: usize = 8;
/// Modules by which the side of a code grows with its version, and their count without it.
const SIDE: (usize, usize) = (4, 17);

/// How much of a code may be unreadable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Correction {
    /// 7 %: for screens, which are never dirty; larger modules do more for a camera.
    Low,
    /// 15 %: for paper that no smaller code would fit.
    Medium,
    /// 25 %: for paper.
    Quartile,
}

impl Correction {
    /// The level's letter in the standard.
    pub(crate) const fn letter(self) -> &'static str {
        match self {
            Self::Low => "L",
            Self::Medium => "M",
            Self::Quartile => "Q",
        }
    }
}

/// A code.
#[derive(Debug)]
pub(crate) struct Code {
    modules: QRCode,
    correction: Correction,
}

impl Code {
    /// The smallest code of `text`; `None` when none is large enough.
    pub(crate) fn of(text: &str, correction: Correction) -> Option<Self> {
        let level = match correction {
            Correction::Low => ECL::L,
            Correction::Medium => ECL::M,
            Correction::Quartile => ECL::Q,
        };
        let modules = QRBuilder::new(text).ecl(level).build().ok()?;
        Some(Self { modules, correction })
    }

    /// Its error correction.
    pub(crate) const fn correction(&self) -> Correction {
        self.correction
    }

    /// Its version, 1 to 40.
    pub(crate) fn version(&self) -> usize {
        (self.modules.size - SIDE.1) / SIDE.0
    }

    /// Modules of a side, quiet zone included.
    fn side(&self) -> usize {
        self.modules.size + 2 * QUIET_ZONE
    }

    /// Whether the module at this place is dark; the quiet zone and what lies beyond it are light.
    fn is_dark(&self, x: usize, y: usize) -> bool {
        let inside = |at: usize| at.checked_sub(QUIET_ZONE).filter(|at| *at < self.modules.size);
        matches!((inside(x), inside(y)), (Some(x), Some(y)) if self.modules[y][x].value())
    }

    /// The code in half blocks, two modules to a character.
    ///
    /// With `colour` it is black on white whatever the terminal's colours are. Without, the light
    /// modules are what is drawn, since terminals are mostly dark; on a light one the code then
    /// is inverted, which most readers take too.
    pub(crate) fn terminal(&self, colour: bool) -> String {
        let mut lines = Vec::new();
        for y in (0..self.side()).step_by(2) {
            let half = |x| match (self.is_dark(x, y), self.is_dark(x, y + 1)) {
                (false, false) => '█',
                (false, true) => '▀',
                (true, false) => '▄',
                (true, true) => ' ',
            };
            let line: String = (0..self.side()).map(half).collect();
            // White and black of the 256 colours: the first sixteen are the user's to change.
            lines.push(if colour {
                format!("\u{1b}[38;5;231;48;5;16m{line}\u{1b}[0m")
            } else {
                line
            });
        }
        lines.join("\n")
    }

    /// The code as an SVG of one path, which stays crisp at any size.
    pub(crate) fn svg(&self) -> String {
        let side = self.side();
        let mut path = String::new();
        for y in 0..side {
            let mut x = 0;
            while x < side {
                let run = (x..side).take_while(|x| self.is_dark(*x, y)).count();
                if run > 0 {
                    write!(path, "M{x} {y}h{run}v1h-{run}z")
                        .expect("writing to a string cannot fail");
                }
                x += run.max(1);
            }
        }
        let pixels = side * PIXELS;
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{pixels}\" height=\"{pixels}\" \
             viewBox=\"0 0 {side} {side}\" shape-rendering=\"crispEdges\">\
             <path fill=\"#fff\" d=\"M0 0h{side}v{side}h-{side}z\"/>\
             <path fill=\"#000\" d=\"{path}\"/></svg>\n"
        )
    }

    /// The code as a PNG.
    ///
    /// # Errors
    ///
    /// When the library fails, which it does for no code.
    pub(crate) fn png(&self) -> Result<Vec<u8>, Failure> {
        let side = self.side() * PIXELS;
        let mut pixels = Vec::with_capacity(side * side);
        for y in 0..self.side() {
            let grey = |x| if self.is_dark(x, y) { 0 } else { u8::MAX };
            let row: Vec<u8> =
                (0..self.side()).flat_map(|x| std::iter::repeat_n(grey(x), PIXELS)).collect();
            for _ in 0..PIXELS {
                pixels.extend_from_slice(&row);
            }
        }
        let side = u32::try_from(side).unwrap_or(u32::MAX);
        let mut png = Vec::new();
        let written =
            PngEncoder::new(&mut png).write_image(&pixels, side, side, ExtendedColorType::L8);
        written.map_err(|e| {
            Failure::refused(
                "unwritable_picture",
                format!("the picture cannot be made: {e}"),
                "write an .svg instead",
            )
        })?;
        Ok(png)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "ELC1:6BFOXN%TS3DH 8L0";

    #[test]
    fn the_smallest_code_is_taken_and_its_version_known() {
        let code = |length, correction| Code::of(&"A".repeat(length), correction);
        let version = |length, correction| code(length, correction).map(|c| c.version());
        // Table 7 of ISO/IEC 18004: characters of the alphanumeric mode.
        assert_eq!(version(25, Correction::Low), Some(1));
        assert_eq!(version(26, Correction::Low), Some(2));
        assert_eq!(version(1_704, Correction::Low), Some(24));
        assert_eq!(version(1_705, Correction::Low), Some(25));
        assert_eq!(version(4_296, Correction::Low), Some(40));
        assert_eq!(version(4_297, Correction::Low), None);
        assert_eq!(version(1_326, Correction::Medium), Some(24));
        assert_eq!(version(963, Correction::Quartile), Some(24));
        assert_eq!(version(964, Correction::Quartile), Some(25));
    }

    #[test]
    fn every_form_has_a_quiet_zone_and_the_same_modules() {
        let code = Code::of(TEXT, Correction::Low).unwrap();
        let side = code.side();
        assert_eq!(side, 21 + 8);
        let png = image::load_from_memory(&code.png().unwrap()).unwrap().to_luma8();
        assert_eq!(png.width() as usize, side * PIXELS);
        let lines: Vec<Vec<char>> =
            code.terminal(false).lines().map(|line| line.chars().collect()).collect();
        let svg = code.svg();
        for y in 0..side {
            for x in 0..side {
                let dark = code.is_dark(x, y);
                let quiet = [x, y].iter().any(|at| *at < QUIET_ZONE || *at >= side - QUIET_ZONE);
                assert!(!(quiet && dark));
                let at = |i: usize| u32::try_from(i * PIXELS + PIXELS - 1).unwrap();
                assert_eq!(png.get_pixel(at(x), at(y)).0[0], if dark { 0 } else { 255 });
                let upper = y % 2 == 0;
                let light = match lines[y / 2].get(x).copied().unwrap_or(' ') {
                    '█' => true,
                    '▀' => upper,
                    '▄' => !upper,
                    _ => false,
                };
                assert_eq!(light, !dark, "{x} {y}");
            }
        }
        assert!(svg.contains("M4 4h7v1h-7z") && svg.contains("viewBox=\"0 0 29 29\""), "{svg}");
        assert!(code.terminal(true).lines().all(|line| line.ends_with("\u{1b}[0m")));
    }
}
