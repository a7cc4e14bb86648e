#!/bin/bash
# gcc, g++ and make on a disk: programs of C and C++, libraries, a project that is built in parallel and again.
# rootfs: workshop
# long
# timeout: 900
export LC_ALL=C
rm -rf /tmp/compilers && mkdir -p /tmp/compilers && cd /tmp/compilers || exit 1

cat > hello.c << 'end'
#include <stdio.h>
#include <math.h>
int main(int argc, char** argv) { return printf("%s %d %.6f\n", "hello", argc, sin(1.0)) < 0; }
end
gcc -O2 -Wall hello.c -o hello -lm && ./hello a b
gcc -static -g hello.c -o hello-static -lm && ./hello-static
gcc -S -O1 hello.c -o /dev/null && gcc -E hello.c | grep -c 'int main'
gcc -fsyntax-only -x c - <<< 'int main(void) { return x; }' 2>&1 | grep -c "undeclared"

cat > many.cpp << 'end'
#include <algorithm>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <map>
#include <numeric>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>
int main() {
    std::vector<int> numbers(100000);
    std::iota(numbers.begin(), numbers.end(), 0);
    std::shuffle(numbers.begin(), numbers.end(), std::mt19937(7));
    std::sort(numbers.begin(), numbers.end());
    std::cout << std::is_sorted(numbers.begin(), numbers.end()) << '\n';
    std::atomic<long> sum{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < 8; ++i)
        threads.emplace_back([&, i] { for (int k = i; k < 100000; k += 8) sum += numbers[size_t(k)]; });
    for (auto& thread : threads) thread.join();
    std::cout << sum << '\n';
    try {
        throw std::runtime_error("caught");
    } catch (const std::exception& error) {
        std::cout << error.what() << '\n';
    }
    std::filesystem::create_directories("a/b/c");
    for (int i = 0; i < 50; ++i) std::ofstream("a/b/" + std::to_string(i)) << i << '\n';
    std::map<std::string, std::uintmax_t> sizes;
    for (const auto& entry : std::filesystem::recursive_directory_iterator("a"))
        if (entry.is_regular_file()) sizes[entry.path().string()] = entry.file_size();
    std::cout << sizes.size() << ' ' << sizes.begin()->first << '\n';
    std::cout << std::filesystem::remove_all("a") << '\n';
}
end
g++ -std=c++17 -O2 -pthread many.cpp -o many && ./many
g++ -std=c++17 -O1 -g -static -pthread many.cpp -o many-static && ./many-static | tail -1

echo 'int twice(int x) { return 2 * x; }' > twice.c
gcc -fPIC -shared twice.c -o libtwice.so && gcc -c twice.c && ar rcs libtwice.a twice.o && ar t libtwice.a
cat > load.c << 'end'
#include <dlfcn.h>
#include <stdio.h>
int main(void) {
    int (*twice)(int) = (int (*)(int))dlsym(dlopen("./libtwice.so", RTLD_NOW), "twice");
    return printf("%d\n", twice(21)) < 0;
}
end
gcc load.c -o load -ldl && ./load && nm -D libtwice.so | grep -c ' T twice' && objdump -d twice.o | grep -c '<twice>:'
gcc -O2 -flto hello.c twice.c -o lto -lm && ./lto && strip lto && ./lto && size lto | wc -l

# A project of forty files, built by four jobs, and built again for what has changed.
mkdir project && cd project || exit 1
for i in $(seq 1 40); do
    echo "#include \"all.h\"
int f$i(int x) { return x + $i + COMMON; }" > "f$i.c"
done
{ echo "#define COMMON 1"; for i in $(seq 1 40); do echo "int f$i(int);"; done; } > all.h
{
    echo '#include <stdio.h>'; echo '#include "all.h"'; echo 'int main(void) { int x = 0;'
    for i in $(seq 1 40); do echo "x = f$i(x);"; done
    echo 'return printf("%d\n", x) < 0; }'
} > main.c
cat > Makefile << 'end'
objects := $(patsubst %.c,%.o,$(wildcard *.c))
program: $(objects)
	@$(CC) -o $@ $^ && echo linked
%.o: %.c
	@$(CC) -MMD -O1 -c $< -o $@ && echo compiled $<
clean:
	rm -f *.o *.d program
-include $(objects:.o=.d)
end
make -j4 | sort | uniq -c | awk '{ print $1, $2 }' | sort | uniq -c && ./program
make -j4
sleep 1.1 && touch f7.c && make -j4
sleep 1.1 && sed -i s/1/2/ all.h && make -j4 | wc -l && ./program
make -j4 -k clean > /dev/null && ls | wc -l
echo 'int broken(' > broken.c && make -j4 -k > /dev/null 2>&1; echo "status $?"
rm -rf /tmp/compilers
