// needs-linux: 5.10
//
// What executing a file does to rights: set-user-id and set-group-id, capabilities of files, no_new_privs, nosuid; and
// what becomes of the dumpable flag, of the signal at the parent's death, of AT_SECURE.
#include "exec_report.hpp"

using namespace check;
using namespace exec_report;

namespace {

void set_user_id() {
    give(0, 0, 04755);
    Report report = run(become_user);
    CHECK_EQ(report.uid, 1000u);
    CHECK_EQ(report.euid, 0u);
    CHECK_EQ(report.suid, 0u);
    CHECK_EQ(report.fsuid, 0u);
    CHECK_EQ(report.secure, 1u);
    CHECK(report.effective & chown_bit);
    CHECK_EQ(report.dumpable, 0);

    give(2000, 3000, 06755);
    report = run(become_user);
    CHECK_EQ(report.uid, 1000u);
    CHECK_EQ(report.euid, 2000u);
    CHECK_EQ(report.suid, 2000u);
    CHECK_EQ(report.gid, 1000u);
    CHECK_EQ(report.egid, 3000u);
    CHECK_EQ(report.sgid, 3000u);
    CHECK_EQ(report.secure, 1u);
    CHECK_EQ(report.effective, 0u);

    // Root gives up its effective rights that way.
    report = run([] {});
    CHECK_EQ(report.uid, 0u);
    CHECK_EQ(report.euid, 2000u);
    CHECK_EQ(report.effective, 0u);
    CHECK_NE(report.permitted, 0u);

    // Without group execution the bit means something else.
    give(0, 3000, 02745);
    report = run(become_user);
    CHECK_EQ(report.egid, 1000u);
    CHECK_EQ(report.secure, 0u);
    CHECK_EQ(report.dumpable, 1);

    // The ids it has already: nothing changes.
    give(1000, 1000, 06755);
    report = run(become_user);
    CHECK_EQ(report.euid, 1000u);
    CHECK_EQ(report.secure, 0u);
    CHECK_EQ(report.dumpable, 1);
}

/// The saved ids become the effective ones, whatever the file; the one for files too.
void plain_file() {
    give(0, 0, 0755);
    Report report = run([] { CHECK_OK(setresuid(1000, 1000, 0)); });
    CHECK_EQ(report.suid, 1000u);
    CHECK_EQ(report.secure, 0u);
    // A program that runs with an effective id of its own hands that on, as AT_SECURE says.
    report = run([] { CHECK_OK(setresuid(1000, 2000, 0)); });
    CHECK_EQ(report.uid, 1000u);
    CHECK_EQ(report.euid, 2000u);
    CHECK_EQ(report.suid, 2000u);
    CHECK_EQ(report.secure, 1u);
    CHECK_EQ(report.dumpable, 0);
    // The id for files that exec takes back counts as a change of rights.
    report = run([] {
        CHECK_OK(prctl(PR_SET_PDEATHSIG, SIGURG));
        setfsgid(1000);
        CHECK_OK(prctl(PR_SET_DUMPABLE, 1));
        CHECK_OK(prctl(PR_SET_PDEATHSIG, SIGURG));
    });
    CHECK_EQ(report.dumpable, 0);
    CHECK_EQ(report.death_signal, 0);
    // What can be executed but not read can't be dumped either.
    give(0, 0, 0711);
    report = run(become_user);
    CHECK_EQ(report.dumpable, 0);
    CHECK_EQ(report.secure, 0u);
    give(0, 0, 0755);
    report = run([] {
        become_user();
        CHECK_OK(prctl(PR_SET_PDEATHSIG, SIGURG));
    });
    CHECK_EQ(report.dumpable, 1);
    CHECK_EQ(report.death_signal, SIGURG);
}

void refused_privileges() {
    give(0, 0, 06755);
    Report report = run([] {
        become_user();
        CHECK_OK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    });
    CHECK_EQ(report.euid, 1000u);
    CHECK_EQ(report.egid, 1000u);
    CHECK_EQ(report.suid, 1000u);
    CHECK_EQ(report.effective, 0u);
    CHECK_EQ(report.no_new_privs, 1);
    CHECK_EQ(report.secure, 0u);
    CHECK_OK(mount(nullptr, "/tmp/rights", nullptr, MS_REMOUNT | MS_NOSUID, nullptr));
    report = run(become_user);
    CHECK_EQ(report.euid, 1000u);
    CHECK_EQ(report.egid, 1000u);
    CHECK_EQ(report.secure, 0u);
    give(0, 0, 0755);
    give_capabilities(net_raw, 0, true);
    report = run(become_user);
    CHECK_EQ(report.permitted, 0u);
    CHECK_OK(mount(nullptr, "/tmp/rights", nullptr, MS_REMOUNT, nullptr));
    report = run([] {
        become_user();
        CHECK_OK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    });
    CHECK_EQ(report.permitted, 0u);
    CHECK_EQ(report.effective, 0u);
    take_capabilities();
    // The death signal goes with what a file gives, and only then.
    give(0, 0, 04755);
    report = run([] {
        become_user();
        CHECK_OK(prctl(PR_SET_PDEATHSIG, SIGURG));
    });
    CHECK_EQ(report.death_signal, 0);
    give(0, 0, 0755);
}

void capabilities_of_files() {
    give(0, 0, 0755);
    give_capabilities(net_raw | kill_bit, 0, true);
    Report report = run(become_user);
    CHECK_EQ(report.permitted, net_raw | kill_bit);
    CHECK_EQ(report.effective, net_raw | kill_bit);
    CHECK_EQ(report.secure, 1u);
    CHECK_EQ(report.euid, 1000u);
    CHECK_EQ(report.dumpable, 0);

    give_capabilities(net_raw, 0, false); // the program raises them itself
    report = run(become_user);
    CHECK_EQ(report.permitted, net_raw);
    CHECK_EQ(report.effective, 0u);
    CHECK_EQ(report.secure, 1u);

    // Effective from the start, but the bounding set takes some away: such a program isn't run.
    give_capabilities(net_raw | kill_bit, 0, true);
    auto bounded = [] {
        CHECK_OK(prctl(PR_CAPBSET_DROP, 5));
        become_user();
    };
    CHECK_EQ(run(bounded).error, EPERM);
    CHECK_EQ(run([] { CHECK_OK(prctl(PR_CAPBSET_DROP, 5)); }).error, EPERM); // nor for root
    give_capabilities(net_raw | kill_bit, 0, false);
    report = run(bounded);
    CHECK_EQ(report.error, 0);
    CHECK_EQ(report.permitted, net_raw);

    // Inheritable: what both have.
    give_capabilities(0, net_raw | kill_bit, true);
    report = run([] {
        CHECK_OK(prctl(PR_SET_KEEPCAPS, 1));
        become_user();
        set_capabilities(net_raw | chown_bit, net_raw | chown_bit);
    });
    CHECK_EQ(report.permitted, net_raw);
    CHECK_EQ(report.effective, net_raw);
    CHECK_EQ(report.inheritable, net_raw | chown_bit);
    CHECK_EQ(report.keeps_capabilities, 0);
    report = run(become_user);
    CHECK_EQ(report.permitted, 0u);
    take_capabilities();

    // Ambient ones survive a plain file, and not one that gives rights of its own.
    auto with_ambient = [] {
        CHECK_OK(prctl(PR_SET_KEEPCAPS, 1));
        become_user();
        set_capabilities(net_raw, net_raw);
        CHECK_OK(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, 13, 0, 0));
    };
    report = run(with_ambient);
    CHECK_EQ(report.permitted, net_raw);
    CHECK_EQ(report.effective, net_raw);
    CHECK_EQ(report.ambient, net_raw);
    CHECK_EQ(report.secure, 0u);
    CHECK_EQ(report.dumpable, 1);
    give_capabilities(kill_bit, 0, false);
    report = run(with_ambient);
    CHECK_EQ(report.permitted, kill_bit);
    CHECK_EQ(report.ambient, 0u);
    take_capabilities();
    give(2000, 0, 04755);
    report = run(with_ambient);
    CHECK_EQ(report.permitted, 0u);
    CHECK_EQ(report.ambient, 0u);

    // A set-user-id-root file with capabilities gives a user those and no more.
    give(0, 0, 04755);
    give_capabilities(net_raw, 0, true);
    report = run(become_user);
    CHECK_EQ(report.euid, 0u);
    CHECK_EQ(report.permitted, net_raw);
    take_capabilities();
    give(0, 0, 0755);
}

/// SECBIT_NOROOT: user 0 is a user like others.
void powerless_root() {
    const Report report = run([] { CHECK_OK(prctl(PR_SET_SECUREBITS, 1)); });
    CHECK_EQ(report.uid, 0u);
    CHECK_EQ(report.permitted, 0u);
    CHECK_EQ(report.effective, 0u);
}

} // namespace

int main(int count, char** arguments) {
    report_if_asked(count, arguments);
    copy_self();
    set_user_id();
    plain_file();
    refused_privileges();
    capabilities_of_files();
    powerless_root();
    remove_copy();
    return result();
}
