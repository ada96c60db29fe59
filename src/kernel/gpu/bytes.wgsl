// One layer in bytes: four rows by four outputs a thread, four products in each dot4I8Packed. Where the adapter has no such
// instruction, plain integer products stand in for it. Sums are integers, so their order does not matter.

override WORDS4: u32; // vectors of words of a row going in, sixteen bytes each
override OUT4: u32;   // vectors of a row coming out
override RELU: u32;   // whether negative results become 0

@group(0) @binding(0) var<storage, read> head: vec4<u32>; // rows, 0, 0, 0
@group(0) @binding(1) var<storage, read> q: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> scales: array<vec2<f32>>; // lowest, step
@group(0) @binding(3) var<storage, read> w: array<vec4<u32>>; // by word of four inputs, then by output
@group(0) @binding(4) var<storage, read> about: array<vec4<f32>>; // scale, offset, bias
@group(0) @binding(5) var<storage, read_write> y: array<vec4<f32>>;

fn four(x: u32, w: vec4<u32>) -> vec4<i32> {
    return vec4<i32>(
        dot4I8Packed(x, w.x),
        dot4I8Packed(x, w.y),
        dot4I8Packed(x, w.z),
        dot4I8Packed(x, w.w),
    );
}

// The same number, by way of a zero that the compiler cannot know: a product must not be fused with the sum that takes it.
fn keep(v: vec4<f32>) -> vec4<f32> {
    return bitcast<vec4<f32>>(bitcast<vec4<u32>>(v) ^ vec4<u32>(head.y));
}

// The very operations of the reference, in its order.
fn out(row: u32, n: u32, sum: vec4<i32>) {
    let means = scales[row];
    let rest = keep(means.x * about[OUT4 + n]) + about[2u * OUT4 + n];
    let value = keep(vec4<f32>(sum) * keep(means.y * about[n])) + rest;
    let less = value < vec4<f32>(0.0);
    y[row * OUT4 + n] = select(value, select(value, vec4<f32>(0.0), less), RELU == 1u);
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let row = id.x / OUT4 * 4u;
    let n = id.x % OUT4;
    if (row >= head.x) {
        return;
    }
    var s0 = vec4<i32>(0);
    var s1 = vec4<i32>(0);
    var s2 = vec4<i32>(0);
    var s3 = vec4<i32>(0);
    var at = row * WORDS4;
    var from_ = n;
    for (var k = 0u; k < WORDS4; k++) {
        let x0 = q[at];
        let x1 = q[at + WORDS4];
        let x2 = q[at + 2u * WORDS4];
        let x3 = q[at + 3u * WORDS4];
        let w0 = w[from_];
        s0 += four(x0.x, w0);
        s1 += four(x1.x, w0);
        s2 += four(x2.x, w0);
        s3 += four(x3.x, w0);
        let w1 = w[from_ + OUT4];
        s0 += four(x0.y, w1);
        s1 += four(x1.y, w1);
        s2 += four(x2.y, w1);
        s3 += four(x3.y, w1);
        let w2 = w[from_ + 2u * OUT4];
        s0 += four(x0.z, w2);
        s1 += four(x1.z, w2);
        s2 += four(x2.z, w2);
        s3 += four(x3.z, w2);
        let w3 = w[from_ + 3u * OUT4];
        s0 += four(x0.w, w3);
        s1 += four(x1.w, w3);
        s2 += four(x2.w, w3);
        s3 += four(x3.w, w3);
        at += 1u;
        from_ += 4u * OUT4;
    }
    out(row, n, s0);
    out(row + 1u, n, s1);
    out(row + 2u, n, s2);
    out(row + 3u, n, s3);
}
