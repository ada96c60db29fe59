//! The times of a capture: when its datagrams came, by which a plan's traffic may come.
//!
//! Knows nothing else of them: what they ask for and what they take is the plan's to say.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use crate::base::Nanos;
use crate::packet::capture;

/// The most datagrams whose times are taken: 128 MB of them.
const DATAGRAMS_MAX: usize = 16_000_000;

/// Since the first of them, in order.
pub(super) fn times(path: &Path) -> Result<Arc<[Nanos]>, String> {
    let file = File::open(path).map_err(|e| format!("cannot be read: {e}"))?;
    let mut stamps = Vec::new();
    capture::read(file, |captured| {
        if stamps.len() <= DATAGRAMS_MAX {
            stamps.push(captured.at.as_nanos());
        }
    })
    .map_err(|e| format!("is no capture that can be used: {e}"))?;
    if stamps.len() > DATAGRAMS_MAX {
        return Err(format!("has more than {DATAGRAMS_MAX} UDP datagrams"));
    }
    // Several queues of a card may write one capture: its packets are then not quite in order.
    stamps.sort_unstable();
    let (Some(first), Some(last)) = (stamps.first().copied(), stamps.last().copied()) else {
        return Err("has no UDP datagram".to_owned());
    };
    if first == last {
        return Err("has no two UDP datagrams at different times".to_owned());
    }
    Ok(stamps.into_iter().map(|at| Nanos::new(at - first)).collect())
}
