//! Time that was taken away, as the kernel counts it: from a thread that was ready to run, and from a core by the machine
//! below it.
//!
//! Knows nothing of who lost it. Where the kernel does not count, the answer is `None`.

use std::fs;
use std::io;

use crate::base::Nanos;

/// How long a thread waited for its core, and how often.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waited {
    /// Ready to run and not running.
    pub time: Nanos,
    /// How often it was put on a core. To be woken takes some microseconds each time, which nobody has taken away.
    pub turns: u64,
}

/// For how long threads of this process named `name` have been ready to run and did not.
///
/// # Errors
/// When the list of threads cannot be read.
pub fn waited(name: &str) -> io::Result<Option<Waited>> {
    let mut sum: Option<Waited> = None;
    for task in fs::read_dir("/proc/self/task")? {
        let path = task?.path();
        // A thread that has ended meanwhile is not asked about.
        let Ok(found) = fs::read_to_string(path.join("comm")) else { continue };
        if found.trim_end() != name {
            continue;
        }
        let Ok(text) = fs::read_to_string(path.join("schedstat")) else { continue };
        if let Some((time, turns)) = schedstat(&text) {
            let all = sum.get_or_insert_default();
            all.time += Nanos::new(time);
            all.turns += turns;
        }
    }
    Ok(sum)
}

/// What the machine below has taken from `core` since it was started, in steps of one tick (10 ms).
///
/// # Errors
/// When the kernel's statistics cannot be read.
pub fn stolen(core: usize) -> io::Result<Option<Nanos>> {
    let tick = Nanos::new(1_000_000_000 / rustix::param::clock_ticks_per_second().max(1));
    let text = fs::read_to_string("/proc/stat")?;
    Ok(steal_of(&text, core).map(|ticks| tick.saturating_mul(ticks)))
}

/// Of nanoseconds on a core, nanoseconds ready and waiting for one, and turns: the last two.
fn schedstat(text: &str) -> Option<(u64, u64)> {
    let mut words = text.split_whitespace().skip(1);
    Some((words.next()?.parse().ok()?, words.next()?.parse().ok()?))
}

/// The eighth figure of the core's line in `/proc/stat`.
fn steal_of(stat: &str, core: usize) -> Option<u64> {
    let name = format!("cpu{core}");
    let mut words = stat
        .lines()
        .map(str::split_whitespace)
        .find_map(|mut words| (words.next() == Some(name.as_str())).then_some(words))?;
    words.nth(7)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_lines_are_read() {
        assert_eq!(schedstat("289352 6432 2\n"), Some((6_432, 2)));
        assert_eq!(schedstat("289352 6432"), None);
        let stat = "cpu  9 9 9 9 9 9 9 9 9 9\ncpu1 1 2 3 4 5 6 7 88 9 0\ncpu10 1 1 1 1 1 1 1 5 1 1\nintr 1\n";
        assert_eq!((steal_of(stat, 1), steal_of(stat, 10)), (Some(88), Some(5)));
        assert_eq!((steal_of(stat, 0), steal_of(stat, 2)), (None, None));
    }

    #[test]
    fn a_thread_is_found_by_its_name() {
        let asked = || {
            let mine = waited("punctual-known").expect("threads are listed");
            (mine, waited("nobody-has-this").expect("threads are listed"))
        };
        let thread = std::thread::Builder::new().name("punctual-known".to_owned());
        let (mine, nobody) = thread.spawn(asked).expect("a thread").join().expect("no panic");
        assert_eq!(nobody, None);
        // A kernel without these statistics knows of nobody.
        assert_eq!(mine.is_some(), fs::metadata("/proc/self/schedstat").is_ok());
    }
}
