//! Which socket of a `SO_REUSEPORT` group gets a datagram: a small classic BPF program, made from a table.
//!
//! The choice is made in the kernel, before any socket buffer: a flood of one class fills the buffer of that class only.
//! Knows nothing of priorities: rows and shares are numbers.

#![expect(
    unsafe_code,
    reason = "SO_ATTACH_REUSEPORT_CBPF has no safe wrapper among our dependencies"
)]

use std::io;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;

use super::socklen;

/// Slots in which source ports are counted where the number of sockets gives no reason for more.
pub const SLOTS_DEFAULT: usize = 16;
/// The most slots a row may have.
pub const SLOTS_MAX: usize = 1_024;

/// The table: a datagram's code point chooses a row, its source port a slot, and there stands the number of the socket (in
/// the order in which the group's sockets were bound, from 0).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SteeringTable {
    /// The row for each differentiated-services code point.
    pub class_of_dscp: [u8; 64],
    /// The rows: all of the same length, a power of two up to [`SLOTS_MAX`].
    pub rows: Vec<Vec<u16>>,
}

/// Why a table is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// A code point names a row that is not there, or there is no row.
    #[error("code point {dscp} names row {row}, which does not exist")]
    NoRow {
        /// The code point.
        dscp: u8,
        /// The row it names.
        row: u8,
    },
    /// The rows are not all of one length that is a power of two up to [`SLOTS_MAX`].
    #[error("row {row} has {slots} slots")]
    Slots {
        /// The first row at fault.
        row: usize,
        /// Its length.
        slots: usize,
    },
    /// The program would be longer than the kernel takes (4,096 instructions).
    #[error("the program would have {instructions} instructions, and the kernel takes 4096")]
    TooLong {
        /// How long.
        instructions: usize,
    },
}

/// Deals `slots` slots out by weight, in runs; `shares[i]` is the weight of column `i`. Every column with a weight gets a
/// slot while there are enough. Empty shares, or none above zero, give everything to column 0.
#[must_use]
pub fn deal_slots(shares: &[u32], slots: usize) -> Vec<u16> {
    let total: u64 = shares.iter().map(|s| u64::from(*s)).sum();
    let mut row = Vec::with_capacity(slots);
    let mut before = 0_u64;
    for (column, share) in shares.iter().enumerate() {
        before += u64::from(*share);
        // The running total, rounded to the nearest slot, is where this column's run ends: errors do not add up.
        let end = (2 * before * slots as u64 + total).checked_div(2 * total).unwrap_or(0);
        let end = usize::try_from(end).unwrap_or(slots).min(slots);
        let column = u16::try_from(column).unwrap_or(u16::MAX);
        row.resize(end.max(row.len()), column);
    }
    row.resize(slots, 0);
    give_every_weight_a_slot(&mut row, shares);
    row
}

/// Rounding can leave a light column without a slot: it takes one from the column that has most.
fn give_every_weight_a_slot(row: &mut [u16], shares: &[u32]) {
    let held = |row: &[u16], c: u16| row.iter().filter(|s| **s == c).count();
    for (column, share) in shares.iter().enumerate() {
        let Ok(column) = u16::try_from(column) else { return };
        if *share == 0 || held(row, column) > 0 {
            continue;
        }
        let richest = row.iter().copied().max_by_key(|c| held(row, *c));
        let Some(richest) = richest.filter(|c| held(row, *c) > 1) else { return };
        if let Some(slot) = row.iter_mut().rfind(|s| **s == richest) {
            *slot = column;
        }
    }
}

/// A program for [`attach_reuseport_filter`].
#[derive(Clone, Debug)]
pub struct Program(Vec<libc::sock_filter>);

impl Program {
    /// How many instructions it has.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Never: the shortest program is one return.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl SteeringTable {
    /// A table with one row, for every code point.
    #[must_use]
    pub fn one_row(row: Vec<u16>) -> Self {
        Self { class_of_dscp: [0; 64], rows: vec![row] }
    }

    /// The program that looks a datagram up in this table.
    ///
    /// # Errors
    /// [`TableError`] when a row is missing or of a wrong length.
    pub fn compile(&self) -> Result<Program, TableError> {
        self.check()?;
        let mut code = Assembler(Vec::new());
        let by_class = self.class_of_dscp.iter().any(|c| *c != self.class_of_dscp[0]);
        let by_port = self.rows.iter().any(|row| row.iter().any(|s| *s != row[0]));
        if by_class || by_port {
            code.load_headers(by_port, self.rows[0].len());
        }
        let common = self.commonest_class();
        for class in 0..self.rows.len() {
            // The commonest row needs no test: it comes last.
            let points = || (0_u8..64).zip(self.class_of_dscp);
            if class != common && points().any(|(_, c)| usize::from(c) == class) {
                let body = row_code(&self.rows[class]);
                let tests = points().filter(|(_, c)| usize::from(*c) == class);
                code.when_any(tests.map(|(dscp, _)| u32::from(dscp)).collect(), &body);
            }
        }
        code.0.extend(row_code(&self.rows[common]));
        let instructions = code.0.len();
        if instructions > usize::try_from(libc::BPF_MAXINSNS).unwrap_or(0) {
            return Err(TableError::TooLong { instructions });
        }
        Ok(Program(code.0))
    }

    /// The socket that a datagram would get: what the program does, in plain words.
    #[must_use]
    pub fn socket_of(&self, dscp: u8, source_port: u16) -> Option<u16> {
        let class = self.class_of_dscp.get(usize::from(dscp))?;
        let row = self.rows.get(usize::from(*class))?;
        row.get(slot_of(source_port, row.len())).copied()
    }

    fn check(&self) -> Result<(), TableError> {
        let slots = self.rows.first().map_or(0, Vec::len);
        for (row, entries) in self.rows.iter().enumerate() {
            let legal = entries.len().is_power_of_two() && entries.len() <= SLOTS_MAX;
            if !legal || entries.len() != slots {
                return Err(TableError::Slots { row, slots: entries.len() });
            }
        }
        for (dscp, row) in (0..).zip(self.class_of_dscp) {
            if usize::from(row) >= self.rows.len() {
                return Err(TableError::NoRow { dscp, row });
            }
        }
        Ok(())
    }

    fn commonest_class(&self) -> usize {
        let count =
            |class: usize| self.class_of_dscp.iter().filter(|c| usize::from(**c) == class).count();
        (0..self.rows.len()).max_by_key(|c| count(*c)).unwrap_or(0)
    }
}

/// 2^16 divided by the golden ratio: neighbouring ports fall into slots far apart (Knuth, TAOCP 3, 6.4).
const SPREAD: u32 = 40_503;

/// The slot of a source port: the upper bits of its product with [`SPREAD`], modulo 2^16.
fn slot_of(port: u16, slots: usize) -> usize {
    let product = (u32::from(port) * SPREAD) & 0xffff;
    (product as usize * slots) >> 16
}

// Offsets relative to the network header; the program itself is started behind the UDP header.
const NET: u32 = libc::SKF_NET_OFF.cast_unsigned();
const CELL: u32 = 0;

struct Assembler(Vec<libc::sock_filter>);

impl Assembler {
    fn emit(&mut self, code: u32, k: u32) {
        self.0.push(instruction(code, k, 0, 0));
    }

    /// Leaves the slot in memory cell 0 (where `by_port`) and the code point in the accumulator.
    fn load_headers(&mut self, by_port: bool, slots: usize) {
        // The version nibble tells the two headers apart.
        self.emit(libc::BPF_LD | libc::BPF_B | libc::BPF_ABS, NET);
        self.emit(libc::BPF_ALU | libc::BPF_RSH | libc::BPF_K, 4);
        let mut v4 = Self(Vec::new());
        if by_port {
            // X = the length of the IPv4 header, options included.
            v4.emit(libc::BPF_LDX | libc::BPF_B | libc::BPF_MSH, NET);
            v4.emit(libc::BPF_LD | libc::BPF_H | libc::BPF_IND, NET);
            v4.hash(slots);
        }
        v4.emit(libc::BPF_LD | libc::BPF_B | libc::BPF_ABS, NET.wrapping_add(1));
        v4.emit(libc::BPF_ALU | libc::BPF_RSH | libc::BPF_K, 2);

        let mut v6 = Self(Vec::new());
        if by_port {
            // Extension headers are not followed: behind them, other bytes that belong to the flow choose the slot.
            v6.emit(libc::BPF_LD | libc::BPF_H | libc::BPF_ABS, NET.wrapping_add(40));
            v6.hash(slots);
        }
        // Version 4 bits, traffic class 8 (its upper 6 are the code point), flow label 20.
        v6.emit(libc::BPF_LD | libc::BPF_H | libc::BPF_ABS, NET);
        v6.emit(libc::BPF_ALU | libc::BPF_RSH | libc::BPF_K, 6);
        v6.emit(libc::BPF_ALU | libc::BPF_AND | libc::BPF_K, 63);
        // The branch for IPv6 ends by jumping over the one for IPv4.
        v6.emit(libc::BPF_JMP | libc::BPF_JA, distance(v4.0.len()));
        self.0.push(instruction(
            libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K,
            6,
            0,
            u8::try_from(v6.0.len()).unwrap_or(u8::MAX),
        ));
        self.0.extend(v6.0);
        self.0.extend(v4.0);
    }

    /// As [`slot_of`].
    fn hash(&mut self, slots: usize) {
        self.emit(libc::BPF_ALU | libc::BPF_MUL | libc::BPF_K, SPREAD);
        self.emit(libc::BPF_ALU | libc::BPF_AND | libc::BPF_K, 0xffff);
        self.emit(libc::BPF_ALU | libc::BPF_RSH | libc::BPF_K, 16 - slots.trailing_zeros());
        self.emit(libc::BPF_ST, CELL);
    }

    /// `body` (which ends in returns) when the accumulator is one of `values`, else what follows.
    fn when_any(&mut self, values: Vec<u32>, body: &[libc::sock_filter]) {
        let tests = values.len();
        for (i, value) in values.into_iter().enumerate() {
            // To the body: over the tests that are left and over the jump that stands between.
            let to_body = u8::try_from(tests - i).unwrap_or(u8::MAX);
            self.0.push(instruction(
                libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K,
                value,
                to_body,
                0,
            ));
        }
        // Unconditional jumps are long; conditional ones reach 255 instructions.
        self.emit(libc::BPF_JMP | libc::BPF_JA, distance(body.len()));
        self.0.extend_from_slice(body);
    }
}

/// Returns the entry of the slot in memory cell 0.
fn row_code(row: &[u16]) -> Vec<libc::sock_filter> {
    let mut code = Assembler(Vec::new());
    let runs: Vec<&[u16]> = row.chunk_by(|a, b| a == b).collect();
    if runs.len() > 1 {
        code.emit(libc::BPF_LD | libc::BPF_MEM, CELL);
    }
    let mut end = 0;
    for (i, run) in runs.iter().enumerate() {
        end += run.len();
        if i + 1 < runs.len() {
            // At or past this run's end: over its return.
            let test = libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K;
            code.0.push(instruction(test, distance(end), 1, 0));
        }
        code.emit(libc::BPF_RET | libc::BPF_K, u32::from(run[0]));
    }
    code.0
}

fn distance(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

fn instruction(code: u32, k: u32, jt: u8, jf: u8) -> libc::sock_filter {
    // Instruction codes are 16 bits; libc writes them as 32.
    libc::sock_filter { code: u16::try_from(code).unwrap_or(0), jt, jf, k }
}

/// Attaches `program` to the group that `socket` belongs to (bound, with `SO_REUSEPORT`). It then serves the whole group,
/// also sockets that join later. An index beyond the group falls back to the kernel's own hash.
///
/// # Errors
/// When the kernel refuses the program, or the socket is in no group.
pub fn attach_reuseport_filter(socket: &UdpSocket, program: &Program) -> io::Result<()> {
    let len = libc::c_ushort::try_from(program.len()).map_err(io::Error::other)?;
    let fprog = libc::sock_fprog { len, filter: program.0.as_ptr().cast_mut() };
    // SAFETY: `fprog` and the `len` instructions that it points to are readable for the time of the call; the kernel
    // copies them and, despite the type, does not write.
    let rc = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_REUSEPORT_CBPF,
            (&raw const fprog).cast(),
            socklen::<libc::sock_fprog>(),
        )
    };
    if rc == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::socket::{UdpOptions, open};
    use socket2::SockRef;
    use std::net::SocketAddr;

    fn group(address: &str, size: usize, table: &SteeringTable) -> (Vec<UdpSocket>, SocketAddr) {
        let wish = UdpOptions { reuse_port: true, ..UdpOptions::default() };
        let first = open(address.parse().unwrap(), &wish).unwrap().socket;
        let shared = first.local_addr().unwrap();
        let mut sockets = vec![first];
        sockets.extend((1..size).map(|_| open(shared, &wish).unwrap().socket));
        attach_reuseport_filter(&sockets[0], &table.compile().unwrap()).unwrap();
        (sockets, shared)
    }

    /// Sends one datagram from a fresh source port and says which socket got it.
    fn where_it_goes(sockets: &[UdpSocket], to: SocketAddr, dscp: u8) -> (u16, u16) {
        let bind: SocketAddr =
            if to.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" }.parse().unwrap();
        let sender = UdpSocket::bind(bind).unwrap();
        let tos = u32::from(dscp) << 2 | 1;
        let raw = SockRef::from(&sender);
        if to.is_ipv4() { raw.set_tos_v4(tos) } else { raw.set_tclass_v6(tos) }.unwrap();
        sender.send_to(&[dscp], to).unwrap();
        let got: Vec<usize> =
            (0..sockets.len()).filter(|i| sockets[*i].recv_from(&mut [0; 4]).is_ok()).collect();
        assert_eq!(got.len(), 1, "exactly one socket gets it: {got:?}");
        (u16::try_from(got[0]).unwrap(), sender.local_addr().unwrap().port())
    }

    fn by_class() -> [u8; 64] {
        let mut classes = [2; 64];
        classes[46] = 0;
        for medium in [34, 36, 38, 32, 40] {
            classes[medium] = 1;
        }
        classes[8] = 3;
        classes[1] = 3;
        classes
    }

    #[test]
    fn the_class_chooses_among_real_sockets() {
        let table = SteeringTable {
            class_of_dscp: by_class(),
            rows: (0..4).map(|class| vec![class; 16]).collect(),
        };
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let (sockets, to) = group(address, 4, &table);
            for dscp in 0..64 {
                let (got, port) = where_it_goes(&sockets, to, dscp);
                assert_eq!(Some(got), table.socket_of(dscp, port), "{address} dscp {dscp}");
                assert_eq!(got, u16::from(by_class()[usize::from(dscp)]));
            }
        }
    }

    #[test]
    fn the_source_port_chooses_among_real_sockets() {
        let table = SteeringTable::one_row(deal_slots(&[8, 4, 4], 16));
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let (sockets, to) = group(address, 3, &table);
            let mut count = [0; 3];
            for _ in 0..200 {
                let (got, port) = where_it_goes(&sockets, to, 0);
                assert_eq!(Some(got), table.socket_of(0, port), "{address} port {port}");
                count[usize::from(got)] += 1;
            }
            assert!(count.iter().all(|c| *c > 10), "{count:?}");
        }
    }

    #[test]
    fn class_and_port_together_choose_among_real_sockets() {
        // Two workers, each with a socket a class; the second takes a quarter.
        let deal = deal_slots(&[3, 1], 16);
        let row = |class: u16| deal.iter().map(|worker| worker * 4 + class).collect();
        let table = SteeringTable { class_of_dscp: by_class(), rows: (0..4).map(row).collect() };
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let (sockets, to) = group(address, 8, &table);
            for i in 0..256_u16 {
                let dscp = u8::try_from(i % 64).unwrap();
                let (got, port) = where_it_goes(&sockets, to, dscp);
                assert_eq!(Some(got), table.socket_of(dscp, port), "dscp {dscp} port {port}");
            }
        }
    }

    #[test]
    fn v4_on_a_dual_stack_socket_is_read_as_v4() {
        let table = SteeringTable {
            class_of_dscp: by_class(),
            rows: (0..4).map(|class| vec![class; 16]).collect(),
        };
        let (sockets, to) = group("[::]:0", 4, &table);
        for host in ["127.0.0.1", "::1"] {
            let to = SocketAddr::new(host.parse().unwrap(), to.port());
            for dscp in [46, 34, 0, 8] {
                let want = u16::from(by_class()[usize::from(dscp)]);
                assert_eq!(where_it_goes(&sockets, to, dscp).0, want, "{host} dscp {dscp}");
            }
        }
    }

    #[test]
    fn many_slots_in_long_rows_still_compile_and_run() {
        let row: Vec<u16> = (0..128).map(|slot| slot % 2).collect();
        let table = SteeringTable { class_of_dscp: by_class(), rows: vec![row; 4] };
        let (sockets, to) = group("127.0.0.1:0", 2, &table);
        for i in 0..128_u8 {
            let (got, port) = where_it_goes(&sockets, to, i % 64);
            assert_eq!(Some(got), table.socket_of(i % 64, port));
        }
        let long = SteeringTable { rows: vec![(0..1_024).collect(); 4], ..table };
        assert!(matches!(long.compile(), Err(TableError::TooLong { .. })));
    }

    #[test]
    fn slots_are_dealt_by_weight_and_nobody_goes_empty() {
        assert_eq!(deal_slots(&[1, 1], 4), [0, 0, 1, 1]);
        assert_eq!(deal_slots(&[3, 1], 4), [0, 0, 0, 1]);
        assert_eq!(deal_slots(&[1, 0, 1], 2), [0, 2]);
        assert_eq!(deal_slots(&[], 2), [0, 0]);
        assert_eq!(deal_slots(&[0, 0], 2), [0, 0]);
        let skewed = deal_slots(&[1_000_000, 1, 1], 16);
        assert!((0..3).all(|c| skewed.contains(&c)), "{skewed:?}");
        let thirds = deal_slots(&[1, 1, 1], 16);
        assert_eq!((0..3).map(|c| thirds.iter().filter(|s| **s == c).count()).max(), Some(6));
        assert_eq!(deal_slots(&[u32::MAX; 16], 16), (0..16).collect::<Vec<_>>());
    }

    #[test]
    fn ports_spread_evenly_over_slots() {
        for step in [1, 2, 4, 16, 64] {
            let mut count = [0_u32; 16];
            for i in 0..1_024_u16 {
                count[slot_of(32_768 + i * step % 28_000, 16)] += 1;
            }
            assert!(count.iter().all(|c| (16..=160).contains(c)), "step {step}: {count:?}");
        }
    }

    #[test]
    fn a_wrong_table_is_refused() {
        let no_rows = SteeringTable { class_of_dscp: [0; 64], rows: Vec::new() };
        assert_eq!(no_rows.compile().unwrap_err(), TableError::NoRow { dscp: 0, row: 0 });
        let three = SteeringTable::one_row(vec![0; 3]);
        assert_eq!(three.compile().unwrap_err(), TableError::Slots { row: 0, slots: 3 });
        let uneven = SteeringTable { class_of_dscp: [0; 64], rows: vec![vec![0; 4], vec![0; 8]] };
        assert_eq!(uneven.compile().unwrap_err(), TableError::Slots { row: 1, slots: 8 });
    }

    #[test]
    fn the_shortest_program_is_one_return() {
        let one = SteeringTable::one_row(vec![0; 16]).compile().unwrap();
        assert_eq!((one.len(), one.is_empty()), (1, false));
        let four = SteeringTable {
            class_of_dscp: by_class(),
            rows: (0..4).map(|class| vec![class; 16]).collect(),
        };
        assert!(four.compile().unwrap().len() <= 25);
    }
}
