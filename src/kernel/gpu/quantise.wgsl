// Rows of floats become rows of bytes, as mlp/quant.rs has it, to the bit: one workgroup a row.
//
// A device may fuse a product with the sum that takes it, and may divide inexactly. So every product goes through `keep`, and
// the two divisions of a row are done in integers.

override IN4: u32;   // vectors of a row of floats
override WORDS: u32; // words of a row of bytes

@group(0) @binding(0) var<storage, read> head: vec4<u32>; // rows, 0, 0, 0
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> q: array<u32>;
@group(0) @binding(3) var<storage, read_write> scales: array<vec2<f32>>; // lowest, step

const THREADS = 32u;
const TOP = 127.0;
const SHIFT = 8388608.0;
const INFINITE = 0x7f800000u;

var<workgroup> lows: array<f32, 32>;
var<workgroup> highs: array<f32, 32>;
var<workgroup> lowest: f32;
var<workgroup> inverse: f32;

// The same number, by way of a zero that the compiler cannot know.
fn keep(v: vec4<f32>) -> vec4<f32> {
    return bitcast<vec4<f32>>(bitcast<vec4<u32>>(v) ^ vec4<u32>(head.y));
}

// a / b, rounded to the nearest even, for positive finite numbers whose quotient is a normal one: a long division.
fn divide(a: f32, b: f32) -> f32 {
    let ab = bitcast<u32>(a);
    let bb = bitcast<u32>(b);
    var left = (ab & 0x7fffffu) | 0x800000u;
    let by = (bb & 0x7fffffu) | 0x800000u;
    var exponent = i32(ab >> 23u) - i32(bb >> 23u) + 127;
    if (left < by) {
        left <<= 1u;
        exponent -= 1;
    }
    var quotient = 0u;
    for (var i = 0u; i < 25u; i++) {
        quotient <<= 1u;
        if (left >= by) {
            left -= by;
            quotient |= 1u;
        }
        left <<= 1u;
    }
    var mantissa = quotient >> 1u;
    if ((quotient & 1u) == 1u && (left != 0u || (mantissa & 1u) == 1u)) {
        mantissa += 1u;
    }
    // A mantissa that was rounded up to 2^24 carries into the exponent by this sum.
    return bitcast<f32>((u32(exponent) << 23u) + (mantissa - 0x800000u));
}

fn scale(row: u32) {
    // A zero has no sign here.
    let low = select(lows[0], 0.0, (bitcast<u32>(lows[0]) & 0x7fffffffu) == 0u);
    let width = highs[0] - low;
    var step = 0.0;
    inverse = 0.0;
    if ((bitcast<u32>(width) & INFINITE) == INFINITE) {
        step = width;
    } else if (width > 1e-30) {
        step = divide(width, TOP);
        inverse = divide(TOP, width);
    }
    lowest = low;
    scales[row] = vec2<f32>(low, step);
}

@compute @workgroup_size(32)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) i: u32) {
    let row = group.x;
    let at = row * IN4;
    var low = vec4<f32>(0.0);
    var high = vec4<f32>(0.0);
    for (var k = i; k < IN4; k += THREADS) {
        let v = x[at + k];
        low = min(low, v);
        high = max(high, v);
    }
    lows[i] = min(min(low.x, low.y), min(low.z, low.w));
    highs[i] = max(max(high.x, high.y), max(high.z, high.w));
    workgroupBarrier();
    for (var half = THREADS / 2u; half > 0u; half >>= 1u) {
        if (i < half) {
            lows[i] = min(lows[i], lows[i + half]);
            highs[i] = max(highs[i], highs[i + half]);
        }
        workgroupBarrier();
    }
    if (i == 0u) {
        scale(row);
    }
    workgroupBarrier();
    for (var k = i; k < WORDS; k += THREADS) {
        var v = vec4<f32>(0.0);
        if (k < IN4) {
            v = x[at + k];
        }
        let shifted = keep((v - lowest) * inverse) + SHIFT;
        let bytes = bitcast<vec4<u32>>(shifted) & vec4<u32>(0xffu);
        q[row * WORDS + k] = bytes.x | (bytes.y << 8u) | (bytes.z << 16u) | (bytes.w << 24u);
    }
}
