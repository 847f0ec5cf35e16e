//! Who is made up. **Nobody here is anybody**: given and family names are thrown together, addresses are at `example.com`
//! and in the networks that are kept for examples (RFC 2606, RFC 5737).

use std::collections::HashMap;

use super::chance::Chance;

/// A name that is made up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name {
    pub(super) username: String,
    pub(super) email: String,
    pub(super) first: &'static str,
    pub(super) last: &'static str,
}

/// Names of one corner of the world, each as it is written there and as it stands in a username.
struct Corner {
    first: &'static [(&'static str, &'static str)],
    last: &'static [(&'static str, &'static str)],
}

#[rustfmt::skip]
const CORNERS: &[Corner] = &[
    Corner {
        first: &[("Amara", "amara"), ("Chinedu", "chinedu"), ("Ngozi", "ngozi"), ("Tunde", "tunde"), ("Yétúndé", "yetunde"), ("Emeka", "emeka")],
        last: &[("Okafor", "okafor"), ("Adéyẹmí", "adeyemi"), ("Nwosu", "nwosu"), ("Balogun", "balogun"), ("Eze", "eze")],
    },
    Corner {
        first: &[("Wanjiru", "wanjiru"), ("Kamau", "kamau"), ("Achieng", "achieng"), ("Otieno", "otieno"), ("Njeri", "njeri")],
        last: &[("Mwangi", "mwangi"), ("Odhiambo", "odhiambo"), ("Kiptoo", "kiptoo"), ("Wafula", "wafula")],
    },
    Corner {
        first: &[("Thandiwe", "thandiwe"), ("Sipho", "sipho"), ("Lerato", "lerato"), ("Bongani", "bongani"), ("Naledi", "naledi")],
        last: &[("Dlamini", "dlamini"), ("Nkosi", "nkosi"), ("Mokoena", "mokoena"), ("Khumalo", "khumalo")],
    },
    Corner {
        first: &[("ليلى", "layla"), ("يوسف", "yusuf"), ("مريم", "maryam"), ("عمر", "omar"), ("نور", "nour"), ("سلمى", "salma")],
        last: &[("حداد", "haddad"), ("منصور", "mansour"), ("خليل", "khalil"), ("النجار", "alnajjar")],
    },
    Corner {
        first: &[("Aarav", "aarav"), ("Diya", "diya"), ("Ishaan", "ishaan"), ("Kavya", "kavya"), ("Rohan", "rohan"), ("Meera", "meera"), ("Ananya", "ananya")],
        last: &[("Sharma", "sharma"), ("Iyer", "iyer"), ("Banerjee", "banerjee"), ("Reddy", "reddy"), ("Kulkarni", "kulkarni")],
    },
    Corner {
        first: &[("美咲", "misaki"), ("蓮", "ren"), ("陽菜", "hina"), ("悠真", "yuma"), ("結衣", "yui"), ("大翔", "hiroto")],
        last: &[("佐藤", "sato"), ("高橋", "takahashi"), ("山本", "yamamoto"), ("中村", "nakamura"), ("小林", "kobayashi")],
    },
    Corner {
        first: &[("伟", "wei"), ("芳", "fang"), ("子涵", "zihan"), ("浩然", "haoran"), ("欣怡", "xinyi")],
        last: &[("王", "wang"), ("李", "li"), ("陈", "chen"), ("刘", "liu"), ("黄", "huang")],
    },
    Corner {
        first: &[("민준", "minjun"), ("서연", "seoyeon"), ("지우", "jiwoo"), ("하은", "haeun"), ("도윤", "doyun")],
        last: &[("김", "kim"), ("박", "park"), ("최", "choi"), ("정", "jeong")],
    },
    Corner {
        first: &[("Nguyên", "nguyen"), ("Linh", "linh"), ("Minh", "minh"), ("Hương", "huong"), ("Đức", "duc"), ("Thảo", "thao")],
        last: &[("Trần", "tran"), ("Phạm", "pham"), ("Lê", "le"), ("Võ", "vo"), ("Đặng", "dang")],
    },
    Corner {
        first: &[("Putri", "putri"), ("Budi", "budi"), ("Dewi", "dewi"), ("Rizky", "rizky"), ("Siti", "siti"), ("Agus", "agus")],
        last: &[("Wijaya", "wijaya"), ("Santoso", "santoso"), ("Hidayat", "hidayat"), ("Lestari", "lestari")],
    },
    Corner {
        first: &[("Sofía", "sofia"), ("Mateo", "mateo"), ("Valentina", "valentina"), ("Santiago", "santiago"), ("Camila", "camila"), ("Íñigo", "inigo")],
        last: &[("Ramírez", "ramirez"), ("Gutiérrez", "gutierrez"), ("Núñez", "nunez"), ("Quispe", "quispe"), ("Morales", "morales")],
    },
    Corner {
        first: &[("João", "joao"), ("Luísa", "luisa"), ("Thiago", "thiago"), ("Beatriz", "beatriz"), ("Conceição", "conceicao")],
        last: &[("Oliveira", "oliveira"), ("Gonçalves", "goncalves"), ("Araújo", "araujo"), ("Ferreira", "ferreira")],
    },
    Corner {
        first: &[("Chloé", "chloe"), ("Théo", "theo"), ("Inès", "ines"), ("François", "francois"), ("Anaïs", "anais")],
        last: &[("Lefèvre", "lefevre"), ("Moreau", "moreau"), ("Rousseau", "rousseau"), ("Garnier", "garnier")],
    },
    Corner {
        first: &[("Jürgen", "juergen"), ("Greta", "greta"), ("Søren", "soeren"), ("Åsa", "asa"), ("Björn", "bjoern"), ("Sanna", "sanna"), ("Femke", "femke")],
        last: &[("Müller", "mueller"), ("Lindqvist", "lindqvist"), ("Jørgensen", "joergensen"), ("Virtanen", "virtanen"), ("de Vries", "devries")],
    },
    Corner {
        first: &[("Олена", "olena"), ("Тарас", "taras"), ("Łukasz", "lukasz"), ("Zofia", "zofia"), ("Tomáš", "tomas"), ("Željka", "zeljka")],
        last: &[("Шевченко", "shevchenko"), ("Коваль", "koval"), ("Wójcik", "wojcik"), ("Dvořák", "dvorak"), ("Horvat", "horvat")],
    },
    Corner {
        first: &[("Ελένη", "eleni"), ("Νίκος", "nikos"), ("Ayşe", "ayse"), ("Emre", "emre"), ("Giulia", "giulia"), ("Niccolò", "niccolo")],
        last: &[("Παππάς", "pappas"), ("Yıldız", "yildiz"), ("Şahin", "sahin"), ("Ricci", "ricci"), ("Esposito", "esposito")],
    },
    Corner {
        first: &[("Aroha", "aroha"), ("Tāne", "tane"), ("Siobhán", "siobhan"), ("Rhys", "rhys"), ("Grace", "grace"), ("Malia", "malia")],
        last: &[("Ngata", "ngata"), ("Ó Briain", "obriain"), ("Evans", "evans"), ("Campbell", "campbell"), ("Kealoha", "kealoha")],
    },
];

#[rustfmt::skip]
const BROWSERS: &[&str] = &[
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Safari/605.1.15",
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (Android 15; Mobile; rv:140.0) Gecko/140.0 Firefox/140.0",
];

/// So many names, all different.
pub(super) fn names(chance: &mut Chance, count: usize) -> Vec<Name> {
    let mut taken: HashMap<String, u32> = HashMap::new();
    (0..count)
        .map(|_| {
            let corner = chance.pick(CORNERS);
            let (&(first, given), &(last, family)) = (chance.pick(corner.first), chance.pick(corner.last));
            let plain = format!("{given}.{family}");
            let bearers = taken.entry(plain.clone()).or_default();
            *bearers += 1;
            let username = if *bearers == 1 { plain } else { format!("{plain}{bearers}") };
            Name { email: format!("{username}@example.com"), username, first, last }
        })
        .collect()
}

/// What a browser says of itself, and an address that nobody has.
pub(super) fn device(chance: &mut Chance) -> (&'static str, String) {
    let network = *chance.pick(&["192.0.2", "198.51.100", "203.0.113"]);
    let browser = *chance.pick(BROWSERS);
    (browser, format!("{network}.{}", 1 + chance.below(254)))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn five_thousand_are_all_different_and_could_be_usernames() {
        let names = names(&mut Chance::new(1), 5_000);
        let different: HashSet<_> = names.iter().map(|name| &name.username).collect();
        assert_eq!(different.len(), 5_000);
        for Name { username, email, first, last } in names {
            let plain = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '.';
            assert!(username.chars().all(plain), "{username}");
            assert_eq!(email, format!("{username}@example.com"));
            assert!(!first.is_empty() && !last.is_empty(), "{username}");
        }
    }
}
