// CRC-32C of one row a thread, bit by bit: not to be fast, but to know that a device computes what it is told to.

@group(0) @binding(0) var<storage, read> rows: array<vec2<u32>>; // first word, bytes
@group(0) @binding(1) var<storage, read> words: array<u32>;
@group(0) @binding(2) var<storage, read_write> sums: array<u32>;

@compute @workgroup_size(32)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= arrayLength(&rows)) {
        return;
    }
    let row = rows[id.x];
    var sum = 0xffffffffu;
    for (var i = 0u; i < row.y; i++) {
        sum ^= (words[row.x + i / 4u] >> (8u * (i % 4u))) & 0xffu;
        for (var bit = 0u; bit < 8u; bit++) {
            sum = select(sum >> 1u, (sum >> 1u) ^ 0x82f63b78u, (sum & 1u) == 1u);
        }
    }
    sums[id.x] = ~sum;
}
