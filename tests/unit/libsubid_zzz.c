/* SPDX-License-Identifier: MIT */
/*
 * For test_plugin: the plugin of "subid: zzz" in nsswitch.conf. idmap/plugin.c
 * looks only for its name among what is mapped; so it has nothing but a name.
 */
extern const int subid_zzz_is_loaded;
const int subid_zzz_is_loaded = 1;
