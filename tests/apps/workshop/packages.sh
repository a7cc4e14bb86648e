#!/bin/bash
# apt and dpkg: packages of our own in a folder that is a repository are installed with what they depend on, kept, upgraded,
# removed and purged; what conflicts is refused, and a package whose script fails is mended.
# rootfs: workshop
# long
# timeout: 900
export LC_ALL=C DEBIAN_FRONTEND=noninteractive
rm -rf /tmp/packages && mkdir -p /tmp/packages/repository && cd /tmp/packages && chmod 755 . repository || exit 1

# package NAME VERSION FIELDS [POSTINST]
package() {
    local tree="tree-$1"
    rm -rf "$tree" && mkdir -p "$tree/DEBIAN" "$tree/usr/share/$1" "$tree/etc"
    printf 'Package: %s\nVersion: %s\nArchitecture: all\nMaintainer: N <n@example.org>\n%b' "$1" "$2" "$3" > "$tree/DEBIAN/control"
    printf 'Description: a package\n' >> "$tree/DEBIAN/control"
    echo "/etc/$1.conf" > "$tree/DEBIAN/conffiles"
    echo "$1 $2" > "$tree/usr/share/$1/about"
    echo "setting of $2" > "$tree/etc/$1.conf"
    if [ -n "${4-}" ]; then printf '#!/bin/sh\n%s\n' "$4" > "$tree/DEBIAN/postinst" && chmod 755 "$tree/DEBIAN/postinst"; fi
    dpkg-deb --root-owner-group -b "$tree" "repository/$1_$2_all.deb" > /dev/null
}
index() {
    (cd repository && for deb in *.deb; do
        dpkg-deb -f "$deb"
        printf 'Filename: ./%s\nSize: %s\nSHA256: %s\n\n' "$deb" "$(stat -c %s "$deb")" "$(sha256sum "$deb" | cut -d' ' -f1)"
    done > Packages)
}
mv /etc/apt/sources.list /etc/apt/sources.list.d . 2> /dev/null
mkdir -p /etc/apt/sources.list.d
echo "deb [trusted=yes] file:/tmp/packages/repository ./" > /etc/apt/sources.list

package base-of-all 1 ''
package library 1.0 'Depends: base-of-all (>= 1)\n'
package program 1.0 'Depends: library (>= 1.0)\nRecommends: base-of-all\n' 'echo "configured $1 $2" >> /tmp/packages/log'
package rival 1 'Conflicts: program\n'
index
apt-get -qq update && apt-cache policy program | sed -n 1,3p
apt-get -qq -y install program > out 2>&1; echo "status $?"; cat log; dpkg-query -W base-of-all library program
apt-get -qq -y install rival -s 2>&1 | grep -E '^(Remv|Inst)' | cut -d' ' -f1,2
apt-mark showmanual | grep -E 'program|library'; cat /usr/share/library/about

# An upgrade that keeps what was changed by hand.
echo "my own" > /etc/program.conf
package program 2.0 'Depends: library (>= 2.0)\n' 'echo "configured $1 $2" >> /tmp/packages/log'
package library 2.0 'Depends: base-of-all (>= 1)\n'
index
apt-get -qq update && apt list --upgradable 2> /dev/null | sed -n 's,/.*,,p' | sort
apt-get -qq -y -o Dpkg::Options::=--force-confold dist-upgrade > out 2>&1; echo "status $?"
dpkg-query -W library program; cat /etc/program.conf /etc/library.conf; tail -n 1 log
dpkg -V program library; dpkg -S /usr/share/program/about; dpkg -L library | tail -n 1

# One whose script fails, and is mended.
package broken 1 '' 'exit 3'
index
apt-get -qq update; apt-get -qq -y install broken > out 2>&1; echo "status $?"; dpkg-query -W -f '${Status}\n' broken
package broken 1.1 '' 'exit 0'
index
apt-get -qq update; apt-get -qq -y install broken > out 2>&1; echo "status $?"; dpkg-query -W -f '${Status}\n' broken
apt-get -qq -y install nowhere 2>&1 | tail -n 1
dpkg -i repository/rival_1_all.deb > out 2>&1; echo "status $?"; apt-get -qq -y -f install > /dev/null 2>&1

apt-get -qq -y remove program > out 2>&1; dpkg-query -W -f '${Status}\n' program; ls /etc/program.conf
apt-get -qq -y autoremove --purge > out 2>&1; dpkg-query -W -f '${Status}\n' library 2>&1; ls /etc/library.conf 2>&1
apt-get -qq -y purge program broken > out 2>&1; ls /etc/program.conf /usr/share/program 2>&1
dpkg --audit; dpkg -C; apt-get -qq check; echo "status $?"
rm -rf /etc/apt/sources.list /etc/apt/sources.list.d; mv sources.list sources.list.d /etc/apt/ 2> /dev/null
cd / && rm -rf /tmp/packages
