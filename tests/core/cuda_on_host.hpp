// What differencing.cu takes from CUDA, for a C++ compiler: one thread runs every thread of a grid, one after the other.
#pragma once
#include <cmath>
#include <cstddef>
#include <cstring>
#include <tuple>
using namespace std;

#define __global__
#define __device__ inline

struct Index { int x, y, z; };
static Index threadIdx, blockIdx, blockDim;

inline int atomicAdd(int* where, int what) { int before = *where; *where += what; return before; }

// An argument from where the launch packed it: at the next multiple of its alignment, as on the GPU.
template <typename T> T taken(const char* packed, size_t& at) {
    at = (at + alignof(T) - 1) / alignof(T) * alignof(T);
    T value;
    memcpy(&value, packed + at, sizeof(T));
    at += sizeof(T);
    return value;
}

template <typename... Arguments> int run_grid(void (*kernel)(Arguments...), const int* grid, const int* block, const char* packed) {
    size_t at = 0;
    tuple<Arguments...> arguments{taken<Arguments>(packed, at)...};
    blockDim = {block[0], block[1], block[2]};
    for (blockIdx.z = 0; blockIdx.z < grid[2]; blockIdx.z++)
        for (blockIdx.y = 0; blockIdx.y < grid[1]; blockIdx.y++)
            for (blockIdx.x = 0; blockIdx.x < grid[0]; blockIdx.x++)
                for (threadIdx.z = 0; threadIdx.z < block[2]; threadIdx.z++)
                    for (threadIdx.y = 0; threadIdx.y < block[1]; threadIdx.y++)
                        for (threadIdx.x = 0; threadIdx.x < block[0]; threadIdx.x++) apply(kernel, arguments);
    return (int)at;
}
