//! What many turns come to: ranges, ratios, and which turns do not count.
//!
//! Knows no process and no crate, so that the tests of the main package read it as well.

/// A turn of which more than this share of the load left over 1 ms late says nothing of the server.
pub(crate) const LATE: f64 = 0.01;

/// Least, median and most.
pub(crate) fn range(values: &[f64]) -> [f64; 3] {
    let mut all = values.to_vec();
    all.sort_by(f64::total_cmp);
    let at = |i: usize| all.get(i).copied().unwrap_or(f64::NAN);
    let last = all.len().max(1) - 1;
    [at(0), f64::midpoint(at(last / 2), at(last.div_ceil(2))), at(last)]
}

/// The generator was late in it: the turn does not count.
pub(crate) fn is_void(late: f64) -> bool {
    late.is_nan() || late >= LATE
}

/// How many turns are void, as the report says it; `late` holds the generator's lateness in each.
pub(crate) fn voids(late: &[f64]) -> String {
    let void = late.iter().filter(|l| is_void(**l)).count();
    let most = late.iter().copied().filter(|l| !is_void(*l)).fold(0.0, f64::max) * 100.0;
    let counted = format!(
        "In no turn that counts did the generator send more than {most:.1} % over 1 ms late."
    );
    if void == 0 {
        return counted;
    }
    format!(
        "{void} of {} turns are void: the generator was still late after three tries. {counted}",
        late.len()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_those_of_the_sorted_values() {
        assert_eq!(range(&[3.0, 1.0, 2.0]), [1.0, 2.0, 3.0]);
        assert_eq!(range(&[4.0, 1.0, 2.0, 3.0]), [1.0, 2.5, 4.0]);
        assert!(range(&[]).iter().all(|v| v.is_nan()));
    }

    #[test]
    fn a_turn_with_a_late_generator_is_void_and_said_to_be() {
        assert_eq!(
            [0.0, 0.009, 0.01, 0.5, f64::NAN].map(is_void),
            [false, false, true, true, true]
        );
        assert!(voids(&[0.0, 0.004]).starts_with("In no turn that counts"));
        let said = voids(&[0.002, 0.4, 0.001]);
        assert!(said.starts_with("1 of 3 turns are void") && said.contains("0.2 %"), "{said}");
    }
}
