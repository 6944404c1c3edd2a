return {sha512 = function(text) return #text end}
