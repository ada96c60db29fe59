//! Which cores this thread may run on, and staying on one of them.
//!
//! Knows nothing of workers.

use rustix::thread::{CpuSet, sched_getaffinity};

/// Why a thread is not pinned.
#[derive(Debug, thiserror::Error)]
pub enum PinError {
    /// There is no such core, or this thread's mask (taskset, cpuset, container) does not hold it.
    #[error("core {core} is not among the allowed cores {allowed:?}")]
    NotAllowed {
        /// The core that was asked for.
        core: usize,
        /// What the mask holds.
        allowed: Vec<usize>,
    },
    /// The kernel refused.
    #[error("the kernel refused to pin this thread to core {core}")]
    Refused {
        /// The core that was asked for.
        core: usize,
    },
    /// The kernel agreed, yet the mask that was read back is another.
    #[error("pinned to core {core}, but the mask reads {held:?}")]
    NotHeld {
        /// The core that was asked for.
        core: usize,
        /// What the mask holds afterwards.
        held: Vec<usize>,
    },
    /// The mask could not be read.
    #[error("cannot read this thread's core mask")]
    Unreadable(#[from] std::io::Error),
}

/// The cores that the calling thread may run on, ascending.
///
/// Read from the thread's mask: isolated cores are in it, although the usual listings leave them out.
///
/// # Errors
/// When the kernel does not tell the mask (more cores than 1,024).
pub fn allowed_cores() -> std::io::Result<Vec<usize>> {
    let mask = sched_getaffinity(None)?;
    Ok((0..CpuSet::MAX_CPU).filter(|core| mask.is_set(*core)).collect())
}

/// Who runs where among the `allowed` cores: the workers on those that are `taken` (`None`: on all that are left), and `helpers`
/// threads on others, the last ones.
///
/// # Errors
/// How many helpers there could be at most, where that is fewer. At least one core is the workers'.
pub fn with_helpers(
    allowed: &[usize],
    taken: Option<&[usize]>,
    helpers: usize,
) -> Result<(Vec<usize>, Vec<usize>), usize> {
    let mut free: Vec<usize> =
        allowed.iter().copied().filter(|c| taken.is_none_or(|t| !t.contains(c))).collect();
    let most = if taken.is_none() { free.len().saturating_sub(1) } else { free.len() };
    if helpers > most {
        return Err(most);
    }
    let own = free.split_off(free.len() - helpers);
    Ok((taken.map_or(free, <[usize]>::to_vec), own))
}

/// Pins the calling thread to `core`, and reads the mask back to be sure.
///
/// # Errors
/// [`PinError`] says which of the two steps failed; the mask is then as the kernel left it.
pub fn pin_current(core: usize) -> Result<(), PinError> {
    let allowed = allowed_cores()?;
    if !allowed.contains(&core) {
        return Err(PinError::NotAllowed { core, allowed });
    }
    if !core_affinity::set_for_current(core_affinity::CoreId { id: core }) {
        return Err(PinError::Refused { core });
    }
    let held = allowed_cores()?;
    if held == [core] { Ok(()) } else { Err(PinError::NotHeld { core, held }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pinned_thread_runs_where_it_was_put() {
        let allowed = allowed_cores().unwrap();
        assert!(!allowed.is_empty());
        std::thread::scope(|s| {
            for core in allowed {
                s.spawn(move || {
                    pin_current(core).unwrap();
                    assert_eq!(rustix::thread::sched_getcpu(), core);
                    assert_eq!(allowed_cores().unwrap(), [core]);
                });
            }
        });
    }

    #[test]
    fn helpers_run_on_cores_that_no_worker_has() {
        let all = [0, 1, 2, 5];
        assert_eq!(with_helpers(&all, None, 0), Ok((vec![0, 1, 2, 5], vec![])));
        assert_eq!(with_helpers(&all, None, 2), Ok((vec![0, 1], vec![2, 5])));
        assert_eq!(with_helpers(&all, None, 4), Err(3));
        assert_eq!(with_helpers(&all, Some(&[5, 1]), 1), Ok((vec![5, 1], vec![2])));
        assert_eq!(with_helpers(&all, Some(&[5, 1]), 3), Err(2));
        // A core that is not allowed takes no other's place.
        assert_eq!(with_helpers(&[0], Some(&[7]), 1), Ok((vec![7], vec![0])));
        assert_eq!(with_helpers(&[], None, 1), Err(0));
    }

    #[test]
    fn a_core_that_is_not_there_is_named() {
        for core in [CpuSet::MAX_CPU - 1, CpuSet::MAX_CPU, usize::MAX] {
            let error = pin_current(core).unwrap_err();
            assert!(matches!(error, PinError::NotAllowed { .. }), "{error}");
            assert!(error.to_string().contains(&core.to_string()), "{error}");
        }
    }
}
