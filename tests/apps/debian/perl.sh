#!/bin/bash
# rootfs: debian
# perl: files, processes, pipes, signals, sorting.
perl -we '
use strict; use POSIX;
my %count; $count{$_ % 7}++ for 1 .. 1000;
print join(" ", map { "$_:$count{$_}" } sort keys %count), "\n";
my $pid = fork(); if (!$pid) { exit 3 } waitpid($pid, 0); print "child ", $? >> 8, "\n";
open(my $out, "-|", "echo from a pipe") or die; print <$out>; close $out;
local $SIG{ALRM} = sub { print "alarm\n" }; alarm 1; pause();
local $SIG{USR1} = sub { print "usr1\n" }; kill "USR1", $$;
my $file = "/tmp/perl.$$"; open(my $f, ">", $file) or die; print $f "line $_\n" for 1 .. 5; close $f;
open($f, "<", $file) or die; my @lines = <$f>; print scalar(@lines), " $lines[-1]"; print -s $file, "\n"; unlink $file;
print join(",", sort { $b <=> $a } 3, 10, 7), "\n"; printf "%.5f %s\n", atan2(1, 1) * 4, strftime("%F", gmtime(86400));
print "ok\n" if "abc" =~ /^a(?<mid>b)c$/ and $+{mid} eq "b"; exit 2'
echo $?
