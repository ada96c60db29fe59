//! What the operating system lets one process have.

use std::io;

use rustix::process::{Resource, getrlimit, setrlimit};

/// Raises the limit of open files as far as an ordinary process may (the soft limit to the hard one), and tells it.
///
/// # Errors
/// When the kernel refuses: the limit then stays as it was.
pub fn raise_open_files() -> io::Result<Option<u64>> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit)?;
    Ok(limit.current)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_becomes_the_hard_one() {
        let raised = raise_open_files().unwrap();
        assert_eq!(getrlimit(Resource::Nofile).current, raised);
        assert_eq!(getrlimit(Resource::Nofile).maximum, raised);
    }
}
