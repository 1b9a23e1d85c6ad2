-- SPDX-License-Identifier: Apache-2.0
-- Queens on a board, strings and tables: queens.lua ROUNDS
local function queens(n)
	local columns, up, down, found = {}, {}, {}, 0
	local function place(row)
		if row > n then
			found = found + 1
			return
		end
		for c = 1, n do
			if not (columns[c] or up[row + c] or down[row - c]) then
				columns[c], up[row + c], down[row - c] = true, true, true
				place(row + 1)
				columns[c], up[row + c], down[row - c] = nil, nil, nil
			end
		end
	end
	place(1)
	return found
end

local function words(n)
	local counts, text = {}, {}
	for i = 1, n do
		text[#text + 1] = string.format("%d-%s", i * 7919 % 101, string.rep("x", i % 5))
	end
	for w in table.concat(text, " "):gmatch("%S+") do
		counts[w] = (counts[w] or 0) + 1
	end
	local names = {}
	for w in pairs(counts) do
		names[#names + 1] = w
	end
	table.sort(names)
	return #names + counts[names[1]]
end

local sum = 0
for _ = 1, tonumber(arg[1]) do
	sum = sum + queens(7) + words(2000)
end
print("sum " .. sum)
