//! A group in parts: some bytes of each shard at a time.
//!
//! Knows no field: how bytes are multiplied is `shuffle`'s. What is answered for some bytes of the shards takes the place of those
//! bytes, which nothing needs any more, so that a pause keeps nothing but how far it has come.

use super::{BURST, BURST_MIN, Batch, Level, MASK_LEN, ReedSolomon, SHARDS_MAX, Task, products};

/// How far a group has come.
pub(super) enum Part {
    /// The answer is the first so many bytes of its row.
    Done(usize),
    /// Not to its end.
    Paused,
}

/// Where the shards of a group lie in its row, one behind the other; so many of them are made, and take the places of the first.
struct Plan {
    start: usize,
    len: usize,
    made: usize,
}

impl ReedSolomon {
    /// Row `i` from what is kept in that place on; none where it is no group.
    pub(super) fn group_until(
        &mut self,
        batch: &mut Batch<'_>,
        i: usize,
        place: usize,
        pause: &mut dyn FnMut() -> bool,
    ) -> Option<Part> {
        let payload_len = batch.payload(i).len();
        let plan = match self.spec.task {
            Task::Encode => self.plan_of_encode(payload_len)?,
            Task::Repair => self.plan_of_repair(batch.payload(i))?,
        };
        let answer = plan.len * plan.made;
        // What is made has room in its row, and in the scratch, as a whole run asks for.
        if answer > batch.capacity(i) || answer > self.out.len() {
            return None;
        }
        let row = batch.memory(i);
        let burst = self.burst(plan.made);
        while plan.made > 0 && self.paused[place] < plan.len {
            let at = self.paused[place];
            let count = burst.min(plan.len - at);
            self.columns(row, &plan, at, count);
            self.paused[place] = at + count;
            if at + count < plan.len && pause() {
                return Some(Part::Paused);
            }
        }
        row.copy_within(plan.start..plan.start + answer, 0);
        Some(Part::Done(answer))
    }

    /// Bytes of each shard between two looks.
    fn burst(&self, made: usize) -> usize {
        let plain = matches!(self.level, Level::Scalar);
        let (products, least) = if plain { (BURST.0, BURST_MIN.0) } else { (BURST.1, BURST_MIN.1) };
        (products / (self.spec.data * made.max(1))).next_multiple_of(least)
    }

    fn plan_of_encode(&self, payload_len: usize) -> Option<Plan> {
        let (data, made) = (self.spec.data, self.spec.parity);
        let len = payload_len.checked_div(data)?;
        if len == 0 || len * data != payload_len {
            return None;
        }
        Some(Plan { start: 0, len, made })
    }

    /// There are never more shards made than multiplied, and those are the first of the payload.
    fn plan_of_repair(&mut self, payload: &[u8]) -> Option<Plan> {
        let (_, len) = self.make_ready(payload)?;
        Some(Plan { start: MASK_LEN, len, made: self.repair.rows })
    }

    /// `count` bytes of every shard that is made, from `at` on.
    fn columns(&mut self, row: &mut [u8], plan: &Plan, at: usize, count: usize) {
        let Plan { start, len, made } = *plan;
        let data = self.spec.data;
        let mut shards = [&[][..]; SHARDS_MAX];
        for (shard, from) in shards.iter_mut().zip((start + at..).step_by(len)).take(data) {
            *shard = &row[from..][..count];
        }
        let matrix = if self.spec.task == Task::Encode { &self.parity } else { &self.repair };
        let out = &mut self.out[..made * count];
        products(self.level, matrix, &shards[..data], out);
        for (made, to) in out.chunks_exact(count).zip((start + at..).step_by(len)) {
            row[to..][..count].copy_from_slice(made);
        }
    }
}
