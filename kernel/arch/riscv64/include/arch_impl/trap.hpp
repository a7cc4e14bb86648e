// RISC-V adds nothing to the contract here.
#pragma once
