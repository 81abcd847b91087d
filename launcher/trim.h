/* SPDX-License-Identifier: MIT */
/* Give back the memory that only the start needed. */
/* Used by: nixuser-boot. Privilege: none. */
#pragma once

/**
 * trim_code() - drop the pages of programs and libraries from our page tables
 *
 * The loader has touched most of each library to relocate it, and what waits on
 * an event loop uses little of them. The pages are clean and stay in the page
 * cache: what is used comes back by a minor fault. Cannot fail in a way that
 * matters. Source: madvise(2), MADV_DONTNEED of a private file mapping.
 */
void trim_code(void);
