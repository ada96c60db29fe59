//! CRC-32C (Castagnoli; iSCSI, RFC 3720) of the payload, four bytes in network byte order.

use super::{Batch, Kernel};

/// Answers each payload with its checksum. The carry-less-multiply forms and their run-time choice are crc-fast's.
#[derive(Clone, Copy, Debug, Default)]
pub struct Crc32c;

/// Length of an answer.
pub const ANSWER_LEN: usize = 4;

/// The checksum itself. Not inlined into other crates: each would bring a copy of the crate's loops, which come to lie elsewhere and take
/// another time.
#[must_use]
pub fn checksum(payload: &[u8]) -> u32 {
    // Its function for any algorithm looks for this one among a hundred.
    crc_fast::crc32_iscsi(payload)
}

/// The instructions that the crate has chosen on this machine.
#[must_use]
pub fn target() -> String {
    crc_fast::get_calculator_target(crc_fast::CrcAlgorithm::Crc32Iscsi)
}

impl Kernel for Crc32c {
    fn run(&mut self, batch: &mut Batch<'_>) {
        batch.each(|memory, len| {
            let answer = checksum(&memory[..len]).to_be_bytes();
            *memory.first_chunk_mut::<ANSWER_LEN>()? = answer;
            Some(ANSWER_LEN)
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{Row, RowStatus};

    #[test]
    fn check_value_of_the_catalogue() {
        assert_eq!(checksum(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn answers_each_row_with_its_own_checksum() {
        let mut bytes = b"123456789..........123456789........".to_vec();
        let row = |start| Row { start, len: 9, capacity: 16, status: RowStatus::Failed };
        let mut rows = [row(0), row(19)];
        Crc32c.run(&mut Batch::new(&mut bytes, &mut rows));
        for r in rows {
            assert_eq!((r.status, r.len), (RowStatus::Done, 4));
            assert_eq!(bytes[r.start..r.start + 4], 0xe306_9283_u32.to_be_bytes());
        }
    }

    #[test]
    fn a_row_without_room_fails_alone() {
        let mut bytes = [0; 16];
        let mut rows = [
            Row { start: 0, len: 2, capacity: 2, status: RowStatus::Done },
            Row { start: 4, len: 4, capacity: 8, status: RowStatus::Failed },
        ];
        Crc32c.run(&mut Batch::new(&mut bytes, &mut rows));
        assert_eq!([rows[0].status, rows[1].status], [RowStatus::Failed, RowStatus::Done]);
    }
}
