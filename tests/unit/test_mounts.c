/* doorpost doctor determines from the mount list whether locks exclude other machines. */
#include "support.h"

#include "mounts.h"

#include <string.h>
#include <sys/sysmacros.h>

static const char list[] =
    "21 1 254:0 / / rw,relatime - ext4 /dev/root rw,errors=remount-ro\n"
    "36 21 0:50 / /srv/one rw,relatime shared:1 - nfs4 host:/one rw,vers=4.2,local_lock=none,addr=10.0.0.1\n"
    "37 21 0:51 /sub /srv/two\\040x rw,noatime - nfs host:/two rw,vers=3,nolock,local_lock=all\n"
    "38 21 0:52 / /srv/three rw - nfs host:/three rw,vers=3,local_lock=flock\n"
    "39 21 0:53 / /srv/four rw - nfs host:/four rw,vers=3,local_lock=posix\n"
    "nonsense\n"
    "40 21 0:54\n";

static const char *locks_of(unsigned minor_number) {
    static char options[256];
    char text[sizeof list];
    memcpy(text, list, sizeof list);
    FILE *file = fmemopen(text, sizeof list - 1, "r");
    bool found =
        mounts_find(file, makedev(minor_number == 0 ? 254 : 0, minor_number), options, sizeof options);
    fclose(file);
    return found ? mounts_local_locks(options) : "not found";
}

static void locks_of_each_mount(void **state) {
    (void)state;
    assert_null(locks_of(0));
    assert_null(locks_of(50));
    assert_string_equal(locks_of(51), "nolock");
    assert_null(locks_of(52)); /* Doorpost does not use flock(2) */
    assert_string_equal(locks_of(53), "local_lock=posix");
    assert_string_equal(locks_of(54), "not found");
    assert_string_equal(locks_of(99), "not found");
}

static void options_are_compared_whole(void **state) {
    (void)state;
    assert_null(mounts_local_locks("rw,xnolock,nolocks,local_lock=all2"));
    assert_null(mounts_local_locks(""));
    assert_string_equal(mounts_local_locks("nolock"), "nolock");
    assert_string_equal(mounts_local_locks("rw,local_lock=all"), "local_lock=all");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(locks_of_each_mount),
                                       cmocka_unit_test(options_are_compared_whole)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
