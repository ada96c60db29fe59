//! `level.calibration`: kept times, read with the config.
//!
//! Knows not whose times they are: whether they are true here is checked elsewhere.

use std::path::Path;
use std::sync::Arc;

use super::beside;
use crate::config::fault::Report;
use crate::config::item::{Item, quoted};
use crate::config::settings::Calibration;
use crate::level::saved::{FILE_MAX, Saved};

/// The word for none.
const OFF: &str = "off";
/// What the key takes, for messages.
const FORM: &str =
    "\"off\", or a file in the config's folder that `punctual calibrate --save` wrote";

pub(super) fn read(
    item: &Item<'_, '_>,
    folder: Option<&Path>,
    r: &mut Report,
) -> Option<Calibration> {
    let name = item.text("a file's name", FORM, r)?;
    if name == OFF {
        return Some(Calibration { file: name.to_owned(), kept: None });
    }
    let saved = beside::read(folder, name, FILE_MAX).and_then(|bytes| {
        let text = String::from_utf8(bytes).map_err(|e| format!("is no text in UTF-8: {e}"))?;
        Saved::parse(&text).map_err(|e| format!("is {e}"))
    });
    match saved {
        Ok(saved) => Some(Calibration { file: name.to_owned(), kept: Some(Arc::new(saved)) }),
        Err(why) => {
            item.wrong(&format!("{} {why}", quoted(name)), r).allowed(FORM);
            None
        }
    }
}
