# Makes and opens file handles (name_to_handle_at(2)): `make PATH …` prints them, `open MOUNT HANDLE …` says where they
# lead and what is there, `write MOUNT HANDLE` writes there, `forge MOUNT COUNT` tries numbers that no file has.
my ($make, $open) = `uname -m` =~ /x86_64/ ? (303, 304) : (264, 265);
my ($verb, $mount, @words) = @ARGV;

sub make {
    my $path = shift;
    my ($handle, $id) = (pack('Li', 128, 0) . "\0" x 128, pack('i', 0));
    syscall($make, -100, $path, $handle, $id, 0) == 0 or die "$path: $!";
    return unpack('H*', substr($handle, 0, 8 + unpack('L', $handle)));
}

sub open_handle {
    my ($handle, $flags) = @_;
    opendir(my $directory, $mount) or die "$mount: $!";
    my $fd = syscall($open, fileno($directory), $handle, $flags);
    return $fd < 0 ? "error $!" : $fd;
}

sub show {
    my $fd = open_handle(pack('H*', shift), 0);
    if ($fd =~ /error/) { print "$fd\n"; return }
    print 'opened ', readlink("/proc/self/fd/$fd") =~ s/.*mnt/mnt/r, "\n";
    open(my $file, '<&=', $fd);
    if (-d $file) {
        opendir(my $here, '.');
        chdir($file);
        my @above = sort glob('../*');
        splice(@above, 3) if @above > 3;
        print "holds @{[sort glob('*')]}, above @above\n";
        chdir($here);
    } else {
        print 'reads ', scalar <$file>;
    }
}

if ($verb eq 'make') {
    print make($_), "\n" for $mount, @words;
} elsif ($verb eq 'open') {
    show($_) for @words;
} elsif ($verb eq 'write') {
    my $fd = open_handle(pack('H*', $words[0]), 1);
    if ($fd =~ /error/) { print "$fd\n"; exit }
    open(my $file, '>&=', $fd);
    syswrite($file, "new\n");
} elsif ($verb eq 'forge') {
    srand(1);
    my @numbers = (0, 1, 3 .. 11, 400, 513, 4000, 2**32 - 1);
    push(@numbers, $_ % 3 ? int(rand(600)) : int(rand(2**32))) for 1 .. $words[0];
    my %seen;
    for my $number (@numbers) {
        my $handle = pack('LiLL', 8, 1 + $number % 2, $number, 1 + int(rand(2**31))) . "\0" x 8;
        $seen{open_handle($handle, 0)}++;
    }
    print "$_: $seen{$_}\n" for sort keys %seen;
}
