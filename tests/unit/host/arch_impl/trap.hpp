// The host tests enter no user code.
#pragma once
