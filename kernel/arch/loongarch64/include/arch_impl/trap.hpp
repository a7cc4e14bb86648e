// LoongArch adds nothing to the contract here.
#pragma once
